"""save and load, and what files may not do."""

import io
import os
import pathlib
import pickle
import stat
import zipfile
from collections import Counter, OrderedDict, defaultdict

import pytest

import tensorgrad
import tensorgrad_nn as nn
from tensorgrad import Tensor, load, save, tensor
from tensorgrad.interop import serialization


def round_trip(obj, **options):
    file = io.BytesIO()
    save(obj, file)
    file.seek(0)
    return load(file, **options)


def saved(obj):
    file = io.BytesIO()
    save(obj, file)
    return file.getvalue()


def forge(structure, entries=(), version=serialization._VERSION, compression=zipfile.ZIP_STORED):
    """A file with a pickle, or bytes taken for one, of the forger's choice."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        archive.writestr("version", version)
        archive.writestr("data.pkl", structure if isinstance(structure, bytes) else pickle.dumps(structure))
        for name, data in entries:
            archive.writestr(name, data)
    return io.BytesIO(file.getvalue())


class Plain:
    """A class that nobody allowed."""

    def __eq__(self, other):
        return type(other) is Plain


# ---- what comes back -----------------------------------------------------------------------------
def test_containers():
    obj = {1: 2, "a": [1, (2,), {3}, 1.5, None, True, b"a", 1j, 2**100, bytearray(b"b"), frozenset({4})]}
    result = round_trip(obj)
    assert result == obj and repr(result) == repr(obj)
    assert round_trip(OrderedDict([("b", 1), ("a", 2)])) == OrderedDict([("b", 1), ("a", 2)])
    assert round_trip(Counter("aab")) == Counter("aab")
    loop = []
    loop.append(loop)
    result = round_trip(loop)
    assert result[0] is result


@pytest.mark.parametrize("weights_only", [True, False])
def test_tensors(weights_only):
    x = tensorgrad.arange(6, dtype=tensorgrad.float64)
    leaf = tensor([1.0, 2.0], requires_grad=True)
    obj = {
        "x": x,
        "view": x[2:],
        "t": x.view(2, 3).t(),
        "leaf": leaf,
        "empty": tensorgrad.zeros(0, 3),
        "half": tensor([1.5], dtype=tensorgrad.bfloat16),
        "bool": tensor([True, False]),
    }
    y = round_trip(obj, weights_only=weights_only)
    assert {k: v.tolist() for k, v in y.items()} == {k: v.tolist() for k, v in obj.items()}
    assert all(y[k].dtype is obj[k].dtype for k in obj)
    assert y["x"].untyped_storage() is y["view"].untyped_storage() is y["t"].untyped_storage()
    assert y["t"].stride() == (1, 3) and y["view"].storage_offset() == 2
    assert y["leaf"].requires_grad and y["leaf"].is_leaf
    y["x"][2] = 20
    assert y["view"][0].item() == 20 and x[2].item() == 2


@pytest.mark.parametrize("value", [tensorgrad.float32, tensorgrad.Size([2, 3]), tensorgrad.device("cpu")])
def test_other_values(value):
    assert round_trip(value) == value


def test_attributes():
    x = tensor([1.0])
    x.note = {"a": x}
    y = round_trip(x)
    assert y.note["a"] is y


def test_modules():
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    state = round_trip(model.state_dict())
    assert state._metadata == model.state_dict()._metadata
    assert list(state) == ["0.weight", "0.bias", "1.weight", "1.bias"]
    assert all(state[k].tolist() == v.tolist() for k, v in model.state_dict().items())
    parameter = round_trip(nn.Parameter(tensor([1.0])))
    assert type(parameter) is nn.Parameter and parameter.requires_grad
    copied = round_trip(model, weights_only=False)
    assert copied[0].weight.tolist() == model[0].weight.tolist()


def test_the_same_object_makes_the_same_file():
    obj = {"x": tensorgrad.arange(3)}
    assert saved(obj) == saved(obj)


def test_large_storages():
    x = tensorgrad.arange(5_000_000, dtype=tensorgrad.float64)
    assert (round_trip(x) == x).all().item()


# ---- files ---------------------------------------------------------------------------------------
def test_paths(tmp_path):
    for path in (tmp_path / "a.tg", str(tmp_path / "b.tg")):
        save([1, tensor([2.0])], path)
        assert load(path)[1].tolist() == [2.0]
    assert sorted(os.listdir(tmp_path)) == ["a.tg", "b.tg"]


def test_a_failed_save_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.tg"
    save("old", path)
    with pytest.raises((pickle.PicklingError, AttributeError)):
        save([tensor([1.0]), lambda: None], path)
    assert load(path) == "old" and os.listdir(tmp_path) == ["a.tg"]


def test_modes_and_links(tmp_path):
    path, link = tmp_path / "a.tg", tmp_path / "link.tg"
    umask = os.umask(0o027)
    try:
        save(1, path)
    finally:
        os.umask(umask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    path.chmod(0o600)
    link.symlink_to(path)
    save(2, link)
    assert link.is_symlink() and load(path) == 2
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_not_a_file(tmp_path):
    with pytest.raises(RuntimeError, match="Parent directory .*nowhere does not exist"):
        save(1, tmp_path / "nowhere" / "a.tg")
    with pytest.raises(AttributeError, match="expected 'f' to be string, path, or a file-like object"):
        save(1, 3)
    with pytest.raises(
        AttributeError, match="'int' object has no attribute 'read'. You can only load from a fi"
    ):
        load(3)
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "nowhere.tg")
    path = pathlib.Path(tmp_path, "empty.tg")
    path.write_bytes(b"")
    with pytest.raises(EOFError, match="empty"):
        load(path)


@pytest.mark.parametrize("weights_only", [True, False])
def test_damaged_files(weights_only):
    whole = saved({"x": tensorgrad.arange(1000)})
    place = whole.index(bytes(tensorgrad.arange(1000).numpy())) + 100
    flipped = whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :]
    for data in (b"abcdefgh", whole[:-10], whole[: len(whole) // 2], flipped):
        with pytest.raises(pickle.UnpicklingError, match="is no file of tensorgrad.save, or damaged"):
            load(io.BytesIO(data), weights_only=weights_only)
    with pytest.raises(pickle.UnpicklingError, match="has the format 'tensorgrad 2 little'"):
        load(forge([], version="tensorgrad 2 little"), weights_only=weights_only)
    other = io.BytesIO()
    with zipfile.ZipFile(other, "w") as archive:
        archive.writestr("a.txt", "text")
    with pytest.raises(pickle.UnpicklingError, match="it has no 'version'"):
        load(other, weights_only=weights_only)


# ---- map_location --------------------------------------------------------------------------------
def test_map_location(vault):
    x = tensor([[1.0, 2.0], [3.0, 4.0]], device="vault:1")
    local = tensor([5.0])
    obj = [x, x[1], local]

    def places(**options):
        result = round_trip(obj, **options)
        assert [y.tolist() for y in result] == [[[1.0, 2.0], [3.0, 4.0]], [3.0, 4.0], [5.0]]
        assert result[0].untyped_storage() is result[1].untyped_storage()
        return [str(y.device) for y in result]

    assert places() == ["vault:1", "vault:1", "cpu"]
    assert places(map_location="cpu") == ["cpu"] * 3
    assert places(map_location=tensorgrad.device("vault:0")) == ["vault:0"] * 3
    assert places(map_location={"vault:1": "vault:0"}) == ["vault:0", "vault:0", "cpu"]
    assert places(map_location=lambda storage, location: storage) == ["cpu"] * 3
    assert places(map_location=lambda storage, location: None) == ["vault:1", "vault:1", "cpu"]
    assert places(map_location=lambda storage, location: "vault:0") == ["vault:0"] * 3
    with pytest.raises(RuntimeError, match="Attempting to deserialize object on device 'vault:7'"):
        places(map_location="vault:7")
    with pytest.raises(RuntimeError, match=r"map_location=tensorgrad.device\('cpu'\)"):
        places(map_location="nonesuch")


# ---- weights_only --------------------------------------------------------------------------------
class Evil:
    """Calls what it is told when it is unpickled."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    "obj", [Plain(), print, range(3), slice(3), defaultdict(list), Plain, os.system, type, eval, Ellipsis]
)
def test_what_is_refused(obj):
    with pytest.raises(pickle.UnpicklingError, match="Weights only load failed.*was not an allowed global"):
        round_trip(obj)
    assert round_trip([obj], weights_only=False) == [obj]


def test_no_code_runs():
    ran = []
    globals()["_ran"] = ran
    for function, argument in ((os.system, "false"), (eval, "_ran.append(1)"), (exec, "_ran.append(1)")):
        with pytest.raises(pickle.UnpicklingError, match="not an allowed global"):
            load(forge(Evil(function, argument)))
    assert ran == []


@pytest.mark.parametrize(
    "code, message",
    [
        # GLOBAL of something dotted, and of an allowed module's other names
        (b"\x80\x04\x8c\x07os.path\x8c\x04join\x93.", "was not an allowed global"),
        (b"ctensorgrad.interop.pickling\nwarnings\n.", "was not an allowed global"),
        (
            b"\x80\x04\x8c\x1btensorgrad.interop.pickling\x8c\x1arebuild_tensor.__globals__\x93.",
            "not an allowed",
        ),
        # a Tensor that was never initialised, by NEWOBJ and NEWOBJ_EX
        (b"ctensorgrad._core.tensor\nTensor\n)\x81.", "makes an instance of"),
        (b"\x80\x04ctensorgrad._core.tensor\nTensor\n)}\x92.", "makes an instance of"),
        # the old INST and OBJ
        (b"(S'a'\nicollections\nOrderedDict\n.", "instruction that is not allowed"),
        (b"(ccollections\nOrderedDict\no.", "instruction that is not allowed"),
        (b"\x80\x02\x82\x01.", "instruction that is not allowed"),
        (b"\x80\x05\x97.", "instruction that is not allowed"),
        # BUILD on a function, a class, an OrderedDict, and with the slots of a tensor
        (b"ctensorgrad.interop.pickling\nrebuild_tensor\nN}S'__defaults__'\nNs\x86b.", "sets attributes of"),
        (b"ctensorgrad._core.size\nSize\nN}S'numel'\nNs\x86b.", "sets attributes of"),
        (b"ccollections\nOrderedDict\n)RN}S'a'\nI1\ns\x86b.", "sets attributes of"),
        # calling what was not named, and a reference that is none
        (b"S'text'\n)R.", "which is not an allowed global"),
        (b"\x80\x04K\x01Q.", "refers to something unknown"),
        (b"Pabc\n.", "instruction that is not allowed"),
        # the interpreter's own stack and memory
        (b"0.", "damaged"),
        (b"R.", "damaged"),
        (b"h\x05.", "Memo value not found|damaged"),
        (b"N(.", "damaged"),
        (b"\xff.", "damaged"),
    ],
)
def test_forged_structures(code, message):
    with pytest.raises(pickle.UnpicklingError, match=message):
        load(forge(code))


class _Reference:
    def __init__(self, *fields):
        self.fields = fields


class _ForgingPickler(pickle.Pickler):
    def persistent_id(self, obj):
        return obj.fields if isinstance(obj, _Reference) else None


def forged_tensor(*, reference=("storage", "0", "cpu", 16), data=b"\0" * 16, arguments=(), **options):
    from tensorgrad.interop.pickling import rebuild_tensor

    geometry = arguments or ("float32", (4,), (1,), 0, False)
    structure = io.BytesIO()
    _ForgingPickler(structure, 4).dump(Evil(rebuild_tensor, Tensor, _Reference(*reference), *geometry))
    return forge(structure.getvalue(), [("data/0", data)] if data is not None else [], **options)


def test_forged_tensors():
    assert load(forged_tensor()).tolist() == [0.0] * 4
    for options, message in (
        ({"arguments": ("float32", (5,), (1,), 0, False)}, "does not fit a storage of 16 bytes"),
        ({"arguments": ("float64", (4,), (1,), 0, False)}, "does not fit"),
        ({"arguments": ("float32", (2,), (-1,), 0, False)}, "does not fit"),
        ({"arguments": ("text", (4,), (1,), 0, False)}, "there is no dtype 'text'"),
        ({"arguments": ("float32", 4, (1,), 0, False)}, "damaged"),
        ({"arguments": ("float32", (2**70,), (1,), 0, False)}, "damaged"),
        ({"data": b"\0" * 8}, "storage 0 has 8 bytes in place of 16"),
        ({"data": None}, "storage 0 is missing"),
        ({"reference": ("storage", "0", "cpu", 2**60)}, "storage 0 has 16 bytes"),
        ({"reference": ("storage", "0", "cpu", -1)}, "refers to something unknown"),
        ({"reference": ("storage", 0, "cpu", 16)}, "refers to something unknown"),
        ({"reference": ("storage", "../version", "cpu", 16)}, "storage ../version is missing"),
        ({"compression": zipfile.ZIP_DEFLATED}, "storage 0 has"),
    ):
        with pytest.raises(pickle.UnpicklingError, match=message):
            load(forged_tensor(**options))


def test_safe_globals():
    with serialization.safe_globals([Plain]):
        assert serialization.get_safe_globals() == [Plain]
        assert round_trip(Plain()) == Plain()
    assert serialization.get_safe_globals() == []
    with pytest.raises(pickle.UnpicklingError):
        round_trip(Plain())
    serialization.add_safe_globals([range])
    try:
        assert round_trip(range(3)) == range(3)
    finally:
        serialization.clear_safe_globals()


def test_memory(no_leak):
    x = tensorgrad.zeros(1000)
    for _ in range(20):
        round_trip([x, x[1:]])
        with pytest.raises(pickle.UnpicklingError):
            round_trip([x, print])
    del x
