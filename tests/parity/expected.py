"""The differences from PyTorch that are known, each with its reason. One that is gone fails the tests, as a new one does.

A row of OPERATORS is an operator, an aspect, and the dtypes that differ (none for the aspect "errors").
"""

OPERATORS = {
    "The result is contiguous (or a view) where PyTorch's kernel leaves other strides; there are no memory formats.": [
        ("linalg.lstsq", "strides", "float32"),
        ("linalg.lstsq(grad_oriented)", "strides", "float32"),
    ],
    "Bessel functions of the C library, whose last digits differ from those of PyTorch's.": [
        ("special.bessel_j0", "forward", "float64"),
        ("special.bessel_j1", "forward", "float64"),
        ("special.bessel_y0", "forward", "float64"),
        ("special.bessel_y1", "forward", "float64"),
    ],
    "An exponential overflows in PyTorch's derivative of halves that are more than 11 apart, and its second derivative is nan.": [
        ("logaddexp", "double backward", "float16"),
        ("logaddexp2", "double backward", "float16"),
    ],
    "uint8 wraps around in PyTorch before it becomes a floating point number; here it is converted first.": [
        ("cumulative_trapezoid", "forward", "uint8"),
        ("nn.functional.softmin(with_dtype)", "forward", "uint8"),
        ("trapezoid", "forward", "uint8"),
        ("trapz", "forward", "uint8"),
    ],
    "PyTorch's tangent of a half is a float32.": [
        ("frexp", "forward mode", "float16 bfloat16"),
        ("renorm", "forward mode", "float16 bfloat16"),
    ],
    "PyTorch's polygamma has 11 digits; the last ones differ.": [
        ("mvlgamma(mvlgamma_p_1)", "double backward", "float64"),
        ("mvlgamma(mvlgamma_p_3)", "double backward", "float64"),
        ("mvlgamma(mvlgamma_p_5)", "double backward", "float64"),
        ("digamma", "backward", "float64"),
        ("digamma", "double backward", "float64"),
        ("digamma", "forward mode", "float64"),
        ("lgamma", "double backward", "float64"),
    ],
    "PyTorch's maximum is rounded otherwise than the moduli it is looked for in, which gives nan where none equals it.": [
        ("renorm", "backward", "complex64"),
        ("renorm", "double backward", "complex64"),
    ],
    "Poles of polygamma: infinite, where PyTorch has a large number; and its last digits differ.": [
        ("polygamma(polygamma_n_0)", "forward", "int8 int16 float64"),
        ("polygamma(polygamma_n_0)", "forward mode", "float64"),
        ("polygamma(polygamma_n_1)", "forward", "int8 int16 float64"),
        ("polygamma(polygamma_n_1)", "forward mode", "float64"),
        ("polygamma(polygamma_n_2)", "forward", "int8 int16 float64"),
        ("polygamma(polygamma_n_2)", "forward mode", "float64"),
        ("polygamma(polygamma_n_3)", "forward", "int8 int16 float64"),
        ("polygamma(polygamma_n_3)", "forward mode", "float64"),
        ("polygamma(polygamma_n_4)", "forward", "int8 int16 float64"),
        ("polygamma(polygamma_n_4)", "forward mode", "float64"),
        ("special.polygamma(special_polygamma_n_0)", "forward", "int8 int16 float64"),
        ("special.polygamma(special_polygamma_n_0)", "forward mode", "float64"),
    ],
    "PyTorch's derivative goes through logarithms and loses digits: it is 1e-6 off in double precision, here 1e-15.": [
        ("logcumsumexp", "backward", "float16 bfloat16 float32 float64 complex64 complex128"),
        ("logcumsumexp", "double backward", "float16 bfloat16 float32 float64 complex64 complex128"),
    ],
    "Logarithms of a complex number are 2 pi i apart: which one it is depends on the order of the sums.": [
        ("logcumsumexp", "forward", "complex64"),
    ],
    "PyTorch's derivative goes through logarithms and loses digits: it is 1e-6 off in double precision, here 1e-15; its tangents of complex numbers are nan.": [
        ("logcumsumexp", "forward mode", "float16 float32 float64 complex64 complex128"),
    ],
    "The derivative along a dimension of one element is zero: compared is the rounding of large terms that cancel.": [
        ("nn.functional.normalize", "backward", "float16 bfloat16"),
        ("nn.functional.normalize", "double backward", "float16 bfloat16 float32 float64"),
        ("nn.functional.normalize", "forward mode", "bfloat16"),
    ],
    "There is no complex32, which the tangents of halves would need.": [
        ("complex", "forward mode", "float16"),
        ("view_as_complex", "forward mode", "float16"),
    ],
    "The input is accepted, where PyTorch refuses it.": [
        ("gather", "errors", ""),
    ],
    "The reflected method is reached through Python's operator, which accepts numbers.": [
        ("__radd__", "errors", ""),
        ("__rand__", "errors", ""),
        ("__rmul__", "errors", ""),
        ("__ror__", "errors", ""),
        ("__rxor__", "errors", ""),
    ],
    "PyTorch's derivative hands the input the gradient of what was overwritten, and leaves the rest uninitialised; here it is the other way round.": [
        ("as_strided_scatter", "backward", "float16 bfloat16 float32 float64 complex64 complex128"),
        ("as_strided_scatter", "double backward", "float16 bfloat16 float32 float64 complex64 complex128"),
    ],
    "The derivative is zero (or all but zero) by cancellation, of one or two elements; what is compared is the rounding of either.": [
        ("native_layer_norm", "double backward", "float16"),
    ],
    "There are no sparse tensors: sparse=True is refused.": [
        ("nn.functional.embedding", "forward", "float16 bfloat16 float32 float64"),
        ("nn.functional.embedding", "strides", "float32"),
    ],
    "PyTorch's slope of 1/6 has single precision, also for doubles.": [
        ("nn.functional.hardsigmoid", "backward", "float64"),
        ("nn.functional.hardsigmoid", "forward mode", "float64"),
    ],
    "PyTorch's exponential overflows in halves; here the logarithm of the sigmoid does not.": [
        ("nn.functional.soft_margin_loss", "backward", "float16"),
        ("nn.functional.soft_margin_loss", "double backward", "float16"),
        ("nn.functional.soft_margin_loss", "forward", "float16"),
        ("nn.functional.soft_margin_loss", "forward mode", "float16"),
    ],
    "PyTorch adds 1e-12 to the factors of the second derivative's denominator.": [
        ("nn.functional.binary_cross_entropy", "double backward", "float64"),
    ],
    "PyTorch converts the ends to the dtype of `out` before it counts; here `out` gets the result.": [
        ("arange", "errors", ""),
    ],
    "PyTorch's message is that of an internal assertion, and its type that of one.": [
        ("narrow_copy", "errors", ""),
    ],
    "PyTorch's message names its internal function.": [
        ("nn.functional.max_pool3d", "errors", ""),
    ],
    "Memory of NumPy's or another owner that is too small for `out` is exchanged for other memory; PyTorch cannot resize it.": [
        ("cat", "errors", ""),
    ],
    "A tensor that is no number is an argument of the wrong type.": [
        ("linspace", "errors", ""),
        ("linspace(tensor_overload)", "errors", ""),
        ("logspace", "errors", ""),
        ("logspace(tensor_overload)", "errors", ""),
    ],
    "The result of a transform lies in the order of the indices; PyTorch's lies as its library left it, transformed dimensions last.": [
        ("fft.fft", "strides", "float32"),
        ("fft.fft2", "strides", "float32"),
        ("fft.fftn", "strides", "float32"),
        ("fft.hfft", "strides", "float32"),
        ("fft.hfft2", "strides", "float32"),
        ("fft.hfftn", "strides", "float32"),
        ("fft.ifft", "strides", "float32"),
        ("fft.ifft2", "strides", "float32"),
        ("fft.ifftn", "strides", "float32"),
        ("fft.ihfft", "strides", "float32"),
        ("fft.ihfft2", "strides", "float32"),
        ("fft.ihfftn", "strides", "float32"),
        ("fft.irfft", "strides", "float32"),
        ("fft.irfft2", "strides", "float32"),
        ("fft.irfftn", "strides", "float32"),
        ("fft.rfft", "strides", "float32"),
        ("fft.rfft2", "strides", "float32"),
        ("fft.rfftn", "strides", "float32"),
    ],
    "The result lies in the order of the indices; PyTorch's lies in LAPACK's, column by column.": [
        ("cholesky", "strides", "float32"),
        ("linalg.cholesky", "strides", "float32"),
        ("linalg.eigh", "strides", "float32"),
        ("linalg.inv", "strides", "float32"),
        ("linalg.qr", "strides", "float32"),
        ("linalg.solve", "strides", "float32"),
    ],
    "Convolution and pooling have results in the order of the indices, whatever the input's memory format.": [
        ("nn.functional.max_unpool2d(grad)", "strides", "float32"),
    ],
    "PyTorch has no second derivative of it.": [
        ("nn.functional.ctc_loss", "double backward", "float32 float64"),
    ],
}

# Tests of features, by file and name.
FEATURES = {
    "test_func.py::test_gradcheck_refuses": "A function that returns a number has nothing to check and passes; PyTorch fails with an AttributeError.",
    "test_modes.py::test_make_dual_checks": "A primal that is no tensor is a TypeError; PyTorch fails with an AttributeError.",
    "test_inplace_views.py::test_siblings_see_a_write": "A sibling view is made again by the operator that made it; PyTorch uses as_strided.",
    "test_inplace_views.py::test_in_place_of_a_view_of_a_leaf_made_after": "A view made before its base required a gradient does not take that on: requires_grad is a flag of each tensor, PyTorch asks the base.",
    "test_modes.py::test_inference_tensors_cannot_be_written_outside": "PyTorch's message lacks spaces after its full stops.",
    "test_graph.py::test_graph_of[matmul of batches]": "A view that PyTorch calls unsafe (its input is not seen again) is recorded as an ordinary view.",
    "test_graph.py::test_graph_of[reshape that copies]": "A view that PyTorch calls unsafe (its input is not seen again) is recorded as an ordinary view.",
    "test_tensors.py::test_index[string]": "An index that is a string is an IndexError; PyTorch takes it for the data of a tensor, and fails with a TypeError.",
    "test_func.py::test_functional_jacobian[3]": "PyTorch's message lacks a space.",
    "test_tensors.py::test_numbers_of_arguments[0]": "A method without arguments has the message of a function with too many.",
    "test_tensors.py::test_numbers_of_arguments[5]": "The message names the argument at fault instead of listing the overloads.",
    "test_tensors.py::test_numbers_of_arguments[6]": "The message names the argument at fault instead of listing the overloads.",
    "test_tensors.py::test_numbers_of_arguments[14]": "The message names the operator without PyTorch's suffix of the kernel.",
    "test_tensors.py::test_numbers_of_arguments[17]": "The message names the operator without PyTorch's suffix of the kernel.",
    "test_graph.py::test_saved_by[div]": "The node does not save this value, its formula needs others.",
    "test_graph.py::test_saved_by[prod]": "The node does not save this value, its formula needs others.",
    "test_graph.py::test_graph_of[addcmul]": "The operator is made of others, whose nodes are in the graph.",
    "test_graph.py::test_graph_of[binary_cross_entropy]": "The operator is made of others, whose nodes are in the graph.",
    "test_graph.py::test_graph_of[clamp_min]": "The operator is made of others, whose nodes are in the graph.",
    "test_graph.py::test_graph_of[einsum]": "The operator is made of others, whose nodes are in the graph.",
    "test_graph.py::test_graph_of[masked_select]": "The operator is made of others, whose nodes are in the graph.",
    "test_graph.py::test_graph_of[roll]": "The operator is made of others, whose nodes are in the graph.",
    "test_graph.py::test_graph_of[tril]": "The operator is made of others, whose nodes are in the graph.",
    "test_graph.py::test_a_node_cannot_be_made": "PyTorch's message lists the methods of an abstract class.",
    "test_inplace_views.py::test_resize": "resize_ of a leaf is refused as every other write to a leaf is.",
    "test_tensors.py::test_shapes_that_do_not_fit[12]": "PyTorch's message is that of sparse tensors, also for dense ones.",
    "test_tensors.py::test_numbers_of_arguments[9]": "The type is named with its module.",
    "test_backward.py::test_accumulates_in_place": "PyTorch's version of `.grad` also counts the addition of two gradients on their way to it.",
    "test_tensors.py::test_result_type_with_scalars_and_numbers": "There is no complex32: halves and complex numbers make complex64.",
    "test_func.py::test_vmap_writes": "Writing a batched value into an unbatched tensor has the message that PyTorch gives for its other operators.",
    "test_graph.py::test_graph_of[diag]": "diag is a diagonal (a view) and its copy, with a node for each; PyTorch has one operator for both.",
    "test_graph.py::test_graph_of[dropout]": "dropout records one node, also on the CPU.",
    "test_graph.py::test_graph_of[linear with bias]": "linear is one operator with a kernel of its own.",
    "test_graph.py::test_graph_of[linear]": "linear is one operator with a kernel of its own.",
}


def expected_difference(name, aspect, compared):
    """The dtypes of `compared` on which an aspect of an operator is known to differ, and why."""
    dtypes, reasons = [], []
    for reason, rows in OPERATORS.items():
        for operator, of_aspect, of_dtypes in rows:
            if operator == name and of_aspect == aspect:
                dtypes += of_dtypes.split() or [""]
                reasons.append(reason)
    return [dtype for dtype in dtypes if dtype in compared], " ".join(reasons)
