def expected_difference(name, aspect, dtypes):
    return (), ""
FEATURES = {}
