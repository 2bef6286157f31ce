"""The stand-in itself: what it runs kernels by must notice what would go wrong on a GPU."""

import struct

import numpy as np
import pytest

from tensorgrad_cuda import matmul, programs


def built(stand_in, body, parts=("reduce",)):
    from host_build import HostKernel

    return HostKernel(programs.source(parts, "struct Args { tg_i64 *out; };", body))


def run(kernel, count, blocks=1, backwards=False):
    out = np.zeros(count, np.int64)
    kernel.run(blocks, 256, struct.pack("<q", out.ctypes.data), backwards)
    return out


def test_where_kernels_begin(stand_in):
    import host_build

    assert host_build.END_OF_PRELUDE == programs.END_OF_PRELUDE


def test_blocks_and_threads(stand_in):
    out = run(built(stand_in, "a.out[blockIdx.x * blockDim.x + threadIdx.x] = gridDim.x * 1000 + threadIdx.x;"), 512, 2)
    assert out.tolist() == [2000 + i % 256 for i in range(512)]


@pytest.mark.parametrize("backwards", [False, True])
def test_shuffles_and_barriers(stand_in, backwards):
    body = "a.out[threadIdx.x] = tg_block_reduce<tg_sum>((tg_i64)threadIdx.x);"
    assert run(built(stand_in, body), 256, backwards=backwards).tolist() == [255 * 128] * 256


def test_a_barrier_that_not_all_threads_reach_is_an_error(stand_in):
    body = """
        if (threadIdx.x < 64) __syncthreads();
        else { __shfl_down_sync(0xffffffffu, threadIdx.x == 70 ? 1 : 2, 1); __syncthreads(); }"""
    run(built(stand_in, body), 1)  # all get there, by different ways
    body = "if (threadIdx.x % 2) __shfl_down_sync(0xffffffffu, 1, 1); __syncthreads();"
    with pytest.raises(RuntimeError, match="wait for each other in vain"):
        run(built(stand_in, body), 1)


def test_a_missing_barrier_shows_when_threads_go_backwards(stand_in):
    body = """
        __shared__ tg_i64 s[256];
        s[threadIdx.x] = 0;
        __syncthreads();
        s[threadIdx.x] = threadIdx.x + 1;
        %s
        a.out[threadIdx.x] = s[(threadIdx.x + 1) %% 256];"""
    for barrier, same in (("__syncthreads();", True), ("", False)):
        kernel = built(stand_in, body % barrier)
        assert (run(kernel, 256) == run(kernel, 256, backwards=True)).all() == same


def test_freed_memory_is_overwritten(stand_in):
    memory = stand_in.cuda.alloc(64)
    from cupy.cuda.memory import bytes_at

    view = bytes_at(memory.ptr, 64)
    keep = memory.mem.raw
    assert bytes(view) == b"\xab" * 64
    del memory
    assert bytes(view) == b"\xcd" * 64 and keep is not None


def test_what_stands_for_cublas_checks_leading_dimensions(stand_in):
    x = np.ones((2, 3), np.float32)
    one = np.ones(1, np.float32)
    with pytest.raises(AssertionError, match="leading dimension"):
        matmul.cublas().gemmStridedBatchedEx(
            1, 0, 0, 3, 2, 2, one.ctypes.data, x.ctypes.data, 0, 2, 0, x.ctypes.data, 0, 2, 0, one.ctypes.data,
            x.ctypes.data, 0, 3, 0, 1, 68, -1,
        )  # fmt: skip
