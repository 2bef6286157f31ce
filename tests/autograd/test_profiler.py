"""The profiler: what it counts, how its totals add up, and that it stands up to threads, errors and generators."""

import gc
import os
import re
import threading
import warnings

import pytest

import tensorgrad
import tensorgrad_nn as nn
from tensorgrad.autograd.profiler import profile, record_function
from tensorgrad.autograd.profiler_util import FunctionEventAvg
from tensorgrad.profiler import ProfilerAction, ProfilerActivity, schedule, tensorboard_trace_handler
from tensorgrad.profiler import profile as scheduled_profile
from tensorgrad_optim import SGD


def counts(prf):
    return {row.key: row.count for row in prf.key_averages()}


def training_step():
    weight = nn.Parameter(tensorgrad.ones(3))
    optimizer = SGD([weight], lr=0.1)
    x = tensorgrad.ones(2, 3)
    with record_function("forward"):
        loss = (x * weight).sum()
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()


@pytest.fixture(scope="module")
def trained():
    with profile(record_shapes=True, profile_memory=True, with_stack=True) as prf:
        training_step()
    return prf


# ---- what is there ---------------------------------------------------------------------------------
def test_everything_that_happens_in_a_training_step_appears(trained):
    found = counts(trained)
    for name in (
        "forward",
        "tensorgrad::mul",
        "tensorgrad::sum",
        "MulBackward0",
        "SumBackward0",
        "autograd::engine::evaluate_function: MulBackward0",
        "tensorgrad::autograd::AccumulateGrad",
        "autograd::engine::evaluate_function: tensorgrad::autograd::AccumulateGrad",
        "Optimizer.step#SGD.step",
        "Optimizer.zero_grad#SGD.zero_grad",
    ):
        assert found[name] >= 1, name
    assert found["tensorgrad::autograd::AccumulateGrad"] == 1


def test_self_times_add_up(trained):
    events = [event for event in trained.function_events if event.kind != "memory"]
    for event in events:
        children = sum(child._ns for child in event.cpu_children)
        assert 0 <= children <= event._ns
        assert event.self_cpu_time_total == pytest.approx(event.cpu_time_total - children / 1000)
    top = sum(event.cpu_time_total for event in events if event.cpu_parent is None)
    assert trained.self_cpu_time_total == pytest.approx(top)
    averages = trained.key_averages()
    assert averages.self_cpu_time_total == pytest.approx(top)
    assert trained.total_average().self_cpu_time_total == pytest.approx(top)
    assert trained.total_average().key == "Total"
    assert trained.total_average().count == len(trained.function_events) == sum(row.count for row in averages)


def test_children_lie_inside_their_parents(trained):
    for event in trained.function_events:
        for child in event.cpu_children:
            assert child.cpu_parent is event
            assert event.time_range.start <= child.time_range.start
            assert child.time_range.end <= event.time_range.end


def test_nesting_follows_the_program(trained):
    by_name = {}
    for event in trained.function_events:
        by_name.setdefault(event.name, event)
    assert by_name["tensorgrad::mul"].cpu_parent is by_name["forward"]
    node = by_name["MulBackward0"]
    assert node.cpu_parent is by_name["autograd::engine::evaluate_function: MulBackward0"]
    assert all(child.name.startswith("tensorgrad::") for child in node.cpu_children)
    assert by_name["forward"].cpu_parent is None


def test_a_node_has_the_number_thread_and_stack_of_its_operator(trained):
    forward = {e.name: e for e in trained.function_events if e.kind == "operator" and e.sequence_nr >= 0}
    for node, operator in (("MulBackward0", "tensorgrad::mul"), ("SumBackward0", "tensorgrad::sum")):
        event = next(e for e in trained.function_events if e.name == node)
        assert event.sequence_nr == forward[operator].sequence_nr
        assert event.fwd_thread == event.thread == 1
        assert event.stack == forward[operator].stack
        assert "training_step" in event.stack[0]


def test_an_operator_that_returns_its_argument_records_no_node():
    x = tensorgrad.ones(2, requires_grad=True) * 2
    with profile() as prf:
        y = x.to(tensorgrad.float32)
    assert y is x
    assert [event.sequence_nr for event in prf.function_events if event.name == "tensorgrad::to"] == [-1]


def test_shapes(trained):
    mul = next(event for event in trained.function_events if event.name == "tensorgrad::mul")
    assert mul.input_shapes == [[2, 3], [3]]
    with profile(record_shapes=True) as prf:
        tensorgrad.cat([tensorgrad.ones(2), tensorgrad.ones(3)])
    cat = next(event for event in prf.function_events if event.name == "tensorgrad::cat")
    assert cat.input_shapes[0] == [[2], [3]]


def test_grouping_by_shape():
    x, y = tensorgrad.ones(2, 3), tensorgrad.ones(4)
    with profile(record_shapes=True) as prf:
        for _ in range(3):
            x.sin()
        y.sin()
    rows = {str(row.input_shapes): row.count for row in prf.key_averages(group_by_input_shape=True)}
    assert rows == {"[[2, 3]]": 3, "[[4]]": 1}
    assert "Input Shapes" in prf.key_averages(group_by_input_shape=True).table()
    assert "Input Shapes" not in prf.key_averages().table()


def test_grouping_by_stack():
    x = tensorgrad.ones(2)

    def one():
        return x.sin()

    def two():
        return x.sin()

    with profile(with_stack=True) as prf:
        one()
        two()
        one()
    rows = {row.stack[0].split(": ")[1]: row.count for row in prf.key_averages(group_by_stack_n=1)}
    assert rows == {"one": 2, "two": 1}
    table = prf.key_averages(group_by_stack_n=1).table()
    assert "Source Location" in table
    assert re.search(r"test_profiler\.py\(\d+\): two", table)


def test_memory(trained):
    mul = next(event for event in trained.function_events if event.name == "tensorgrad::mul")
    assert mul.cpu_memory_usage == 2 * 3 * 4
    x = tensorgrad.ones(1000)
    with profile(profile_memory=True) as prf, record_function("outer"):
        with record_function("kept"):
            y = x + x
        with record_function("passing"):
            x + x
        del y
    usage = {event.name: event for event in prf.function_events}
    assert usage["kept"].cpu_memory_usage == 4000
    assert usage["kept"].self_cpu_memory_usage == 0
    assert usage["passing"].cpu_memory_usage == 0
    assert usage["passing"].self_cpu_memory_usage == -4000
    assert usage["outer"].cpu_memory_usage == 0
    assert usage["outer"].self_cpu_memory_usage == -4000


def test_memory_outside_of_events_has_a_row():
    with profile(profile_memory=True) as prf:
        x = tensorgrad.ones(1000)
        del x
    rows = {row.key: row for row in prf.key_averages()}
    assert rows["[memory]"].count == 1
    assert rows["[memory]"].self_cpu_memory_usage == -4000
    assert rows["tensorgrad::ones"].cpu_memory_usage == 4000


def test_a_user_function_and_its_backward():
    class Double(tensorgrad.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, grad):
            return grad * 2

    x = tensorgrad.ones(2, requires_grad=True)
    with profile() as prf:
        Double.apply(x).sum().backward()
    found = {event.name: event for event in prf.function_events}
    assert found["Double"].sequence_nr == found["DoubleBackward"].sequence_nr >= 0
    assert found["Double"].cpu_children[0].name == "tensorgrad::mul"


def test_transforms_show_the_levels_they_run_through():
    with profile() as prf:
        tensorgrad.func.grad(lambda x: (x * x).sum())(tensorgrad.ones(2))
    assert counts(prf)["tensorgrad::mul"] >= 2


# ---- the table ---------------------------------------------------------------------------------------
def test_columns(trained):
    header = trained.key_averages().table().splitlines()[1]
    assert re.split(r"\s{2,}", header.strip()) == [
        "Name",
        "Self CPU %",
        "Self CPU",
        "CPU total %",
        "CPU total",
        "CPU time avg",
        "CPU Mem",
        "Self CPU Mem",
        "# of Calls",
    ]


def test_table_is_what_it_says():
    x = tensorgrad.ones(2)
    with profile() as prf:
        for _ in range(5):
            x.sin()
    row = prf.key_averages()[0]
    rule, header, _, cells, _, total = prf.key_averages().table(time_unit="us").splitlines()
    assert rule == "-" * len("tensorgrad::sin    ") + "  " + "------------  " * 6
    assert header == f"{'Name':>19}  " + "".join(
        f"{name:>12}  "
        for name in ("Self CPU %", "Self CPU", "CPU total %", "CPU total", "CPU time avg", "# of Calls")
    )
    time, average = f"{row.cpu_time_total:.3f}us", f"{row.cpu_time_total / 5:.3f}us"
    assert cells.split() == ["tensorgrad::sin", "100.00%", time, "100.00%", time, average, "5"]
    assert total == f"Self CPU time total: {time}"


def test_percentages(trained):
    table = trained.key_averages().table(row_limit=-1)
    shares = [float(re.findall(r"([\d.]+)%", line)[0]) for line in table.splitlines()[3:-2]]
    assert sum(shares) == pytest.approx(100, abs=0.01 * len(shares))


def test_sorting_and_limits(trained):
    averages = trained.key_averages()
    by_time = sorted(averages, key=lambda row: row.self_cpu_time_total, reverse=True)
    lines = averages.table(sort_by="self_cpu_time_total", max_name_column_width=None).splitlines()
    assert [line.strip().partition("  ")[0] for line in lines[3:-2]] == [row.key for row in by_time]
    assert len(averages.table(row_limit=2).splitlines()) == 2 + 5
    assert len(averages.table(row_limit=-1).splitlines()) == len(averages) + 5
    assert "=" * 20 in averages.table(header="my header") and "my header\n" in averages.table(header="my header")
    with pytest.raises(AttributeError, match="no attribute 'speed' to sort by"):
        averages.table(sort_by="speed")
    with pytest.raises(ValueError, match="time_unit"):
        averages.table(time_unit="h")


def test_top_level_events_only():
    x = tensorgrad.ones(2)
    with profile() as prf:
        with record_function("block"):
            x.sin()
        x.cos()
    table = prf.key_averages().table(top_level_events_only=True)
    assert "block" in table and "cos" in table and "sin" not in table
    assert "This report only display top-level ops statistics" in table


def test_long_names_are_cut():
    with profile() as prf, record_function("n" * 80):
        pass
    assert "n" * 52 + "..." in prf.key_averages().table()
    assert "n" * 80 in prf.key_averages().table(max_name_column_width=None)


def test_times_choose_their_unit():
    row = FunctionEventAvg()
    row.count = 1
    for value, text in ((999.5, "999.500us"), (1500.0, "1.500ms"), (2.5e6, "2.500s")):
        row.cpu_time_total = value
        assert row.cpu_time_total_str == text == row.cpu_time_str


def test_empty_profile():
    with profile() as prf:
        pass
    assert prf.key_averages().table() == ""
    assert prf.self_cpu_time_total == 0


# ---- how it is used ----------------------------------------------------------------------------------
def test_disabled_does_nothing():
    with profile(enabled=False) as prf:
        tensorgrad.ones(2)
    with pytest.raises(RuntimeError, match="Profiler didn't finish running"):
        prf.key_averages()


def test_results_come_after_the_block():
    prf = profile()
    with prf, pytest.raises(RuntimeError, match="Profiler didn't finish running"):
        prf.table()
    with pytest.raises(RuntimeError, match="not reentrant"), prf:
        pass


def test_cuda_without_a_card_warns_and_goes_on():
    if tensorgrad.cuda.is_available():
        pytest.skip("there is a card")
    with pytest.warns(UserWarning, match="CUDA is not available, disabling CUDA profiling"):
        prf = profile(use_cuda=True)
    with prf:
        tensorgrad.ones(2)
    assert counts(prf)["tensorgrad::ones"] == 1
    assert prf.use_device is None
    with pytest.warns(UserWarning, match="not a valid device option"):
        profile(use_device="abacus")


def test_nothing_is_recorded_outside():
    with profile() as prf:
        pass
    tensorgrad.ones(2).sin()
    assert not prf.function_events


def test_nested_profiles_see_what_is_inside_them():
    x = tensorgrad.ones(2)
    with profile() as outer:
        x.sin()
        with record_function("block"), profile(record_shapes=True) as inner:
            x.cos()
        x.sin()
    assert counts(inner) == {"tensorgrad::cos": 1}
    assert counts(outer) == {"tensorgrad::sin": 2, "block": 1, "tensorgrad::cos": 1}
    assert inner.function_events[0].cpu_parent is None
    assert inner.function_events[0].input_shapes == [[2]]


def test_overlapping_profiles():
    x = tensorgrad.ones(2)
    first, second = profile(), profile()
    first.__enter__()
    x.sin()
    second.__enter__()
    x.cos()
    first.__exit__(None, None, None)
    x.tan()
    second.__exit__(None, None, None)
    assert counts(first) == {"tensorgrad::sin": 1, "tensorgrad::cos": 1}
    assert counts(second) == {"tensorgrad::cos": 1, "tensorgrad::tan": 1}


def test_a_profile_inside_an_open_label_ends_it_for_itself_only():
    with profile() as outer, record_function("block"):
        inner = profile()
        inner.__enter__()
        label = record_function("inside")
        label.__enter__()
        inner.__exit__(None, None, None)
        tensorgrad.ones(2)
        label.__exit__(None, None, None)
    assert counts(inner) == {"inside": 1}
    block = next(event for event in outer.function_events if event.name == "block")
    assert [child.name for child in block.cpu_children] == ["inside"]
    assert [child.name for child in block.cpu_children[0].cpu_children] == ["tensorgrad::ones"]


def test_errors_close_their_events():
    x, y = tensorgrad.ones(2), tensorgrad.ones(3)
    with profile() as prf:
        with pytest.raises(RuntimeError):
            x + y
        x.sin()
    add, sin = prf.function_events
    assert (add.name, sin.name) == ("tensorgrad::add", "tensorgrad::sin")
    assert sin.cpu_parent is None and add.time_range.end <= sin.time_range.start


def test_errors_in_backward_close_their_events():
    def fail(grad):
        raise ValueError("no")

    x = tensorgrad.ones(2, requires_grad=True)
    y = x * 2
    y.register_hook(fail)
    with profile() as prf:
        with record_function("around"):
            with pytest.raises(ValueError, match="no"):
                y.sum().backward()
            x.sin()
        x.cos()
    found = {event.name: event for event in prf.function_events}
    assert found["tensorgrad::sin"].cpu_parent is found["around"]
    assert found["tensorgrad::cos"].cpu_parent is None
    assert "autograd::engine::evaluate_function: MulBackward0" in found
    assert "MulBackward0" not in found


def test_an_error_leaves_the_profile_readable():
    prf = profile()
    with pytest.raises(KeyError), prf, record_function("block"):
        tensorgrad.ones(2)
        raise KeyError
    assert counts(prf)["block"] == 1


# ---- labels ------------------------------------------------------------------------------------------
def test_label_as_a_decorator():
    @record_function("labelled")
    def f(x, n):
        return f(x, n - 1) if n else x.sin()

    x = tensorgrad.ones(2)
    with profile() as prf:
        f(x, 2)
    assert counts(prf) == {"labelled": 3, "tensorgrad::sin": 1}
    assert f.__name__ == "f"


def test_label_on_a_generator_covers_its_work_only():
    @record_function("work")
    def steps(x):
        yield x.sin()
        yield x.cos()

    x = tensorgrad.ones(2)
    with profile() as prf:
        for y in steps(x):
            y.tan()
    assert counts(prf)["work"] == 3  # up to each yield, and to the end
    for event in prf.function_events:
        if event.name == "tensorgrad::tan":
            assert event.cpu_parent is None
        elif event.kind == "operator":
            assert event.cpu_parent.name == "work"


def test_a_label_that_a_generator_leaves_open_does_no_harm():
    def steps(x):
        with record_function("inner"):
            yield x.sin()
            yield x.cos()

    with profile() as prf:
        with record_function("outer"):
            generator = steps(tensorgrad.ones(2))
            next(generator)
        next(generator)
        generator.close()
        tensorgrad.ones(2)
    found = {event.name: event for event in prf.function_events}
    assert found["inner"].cpu_parent is found["outer"]
    assert found["inner"].time_range.end <= found["outer"].time_range.end
    assert found["tensorgrad::cos"].cpu_parent is None
    assert found["tensorgrad::ones"].cpu_parent is None


def test_a_label_may_be_entered_again():
    label = record_function("again")
    with profile() as prf:
        with label, label:
            pass
        with label:
            pass
    assert counts(prf) == {"again": 3}


def test_a_label_from_another_thread_is_left_alone():
    label = record_function("mine")
    with profile() as prf:
        label.__enter__()
        thread = threading.Thread(target=label.__exit__, args=(None, None, None))
        thread.start()
        thread.join()
        tensorgrad.ones(2)
    found = {event.name: event for event in prf.function_events}
    assert found["tensorgrad::ones"].cpu_parent is found["mine"]


# ---- threads -----------------------------------------------------------------------------------------
def test_threads_that_start_before_and_during_the_profile():
    go, done = threading.Event(), threading.Event()
    x = tensorgrad.ones(2)

    def before():
        x.sin()  # known to the profiler before it starts
        done.set()
        go.wait()
        x.sin()

    def during():
        for _ in range(100):
            x.cos()

    early = threading.Thread(target=before, name="early")
    early.start()
    done.wait()
    with profile() as prf:
        go.set()
        late = [threading.Thread(target=during) for _ in range(3)]
        for thread in late:
            thread.start()
        for thread in [early, *late]:
            thread.join()
    assert counts(prf) == {"tensorgrad::sin": 1, "tensorgrad::cos": 300}
    assert len({event.thread for event in prf.function_events}) == 4
    assert "early" in [thread.name for thread in prf._finished().threads]


def test_backward_in_another_thread_knows_the_forward_thread():
    x = tensorgrad.ones(2, requires_grad=True)
    with profile() as prf:
        y = (x * x).sum()
        thread = threading.Thread(target=y.backward)
        thread.start()
        thread.join()
    node = next(event for event in prf.function_events if event.name == "MulBackward0")
    assert (node.thread, node.fwd_thread) == (2, 1)


def test_many_threads_starting_and_stopping_profiles():
    errors = []
    x = tensorgrad.ones(2, requires_grad=True)

    def work():
        try:
            for _ in range(20):
                with profile(profile_memory=True) as prf, record_function("own"):
                    (x * x).sum()
                assert counts(prf)["own"] >= 1
                assert counts(prf)["tensorgrad::mul"] >= 1
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    with profile() as prf:
        x.sin()
    assert counts(prf) == {"tensorgrad::sin": 1}


def test_a_forked_child_profiles_on_its_own():
    with profile():
        tensorgrad.ones(2)
        child = os.fork()
        if child == 0:
            status = 1
            try:
                with profile() as prf:
                    tensorgrad.ones(2).sin()
                status = 0 if counts(prf)["tensorgrad::sin"] == 1 else 2
            finally:
                os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


# ---- bounds ------------------------------------------------------------------------------------------
def test_events_are_bounded():
    x = tensorgrad.ones(2)
    with pytest.warns(UserWarning, match=r"not whole: 40 events .* max_events=10"), profile(max_events=10) as prf:
        for _ in range(50):
            x.sin()
    assert counts(prf) == {"tensorgrad::sin": 10}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with profile() as prf:
            for _ in range(50):
                x.sin()
    assert counts(prf) == {"tensorgrad::sin": 50}
    with pytest.raises(ValueError, match="between 1 and"), profile(max_events=0):
        pass


def test_what_was_recorded_is_freed():
    x = tensorgrad.ones(2)

    def run():
        with profile(with_stack=True, record_shapes=True) as prf:
            for _ in range(100):
                x.sin()
        return len(prf.function_events)

    run()
    gc.collect()
    before = len(gc.get_objects())
    for _ in range(5):
        run()
    gc.collect()
    assert len(gc.get_objects()) - before < 100


# ---- schedules ---------------------------------------------------------------------------------------
def test_schedule():
    plan = schedule(skip_first=1, wait=1, warmup=1, active=2, repeat=2)
    names = [plan(step).name[:8] for step in range(11)]
    cycle = ["NONE", "WARMUP", "RECORD", "RECORD_A"]
    assert names == ["NONE", *cycle, *cycle, "NONE", "NONE"]
    assert schedule(wait=3, warmup=1, active=1, skip_first_wait=1)(0) is ProfilerAction.WARMUP
    with pytest.raises(ValueError, match="Invalid profiler schedule arguments"):
        schedule(wait=1, warmup=1, active=0)
    with pytest.raises(ValueError, match="non-negative"):
        plan(-1)
    with pytest.warns(UserWarning, match="warmup"):
        schedule(wait=0, warmup=0, active=1)


def test_scheduled_profile():
    x = tensorgrad.ones(2)
    seen = []
    with scheduled_profile(
        schedule=schedule(wait=1, warmup=1, active=2),
        on_trace_ready=lambda prof: seen.append((prof.step_num, counts(prof), len(prof.events()))),
    ) as prof:
        for step in range(9):
            for _ in range(step):
                x.sin()
            prof.step()
    assert [(step, found["tensorgrad::sin"]) for step, found, _ in seen] == [(4, 2 + 3), (8, 6 + 7)]
    assert [found["ProfilerStep*"] for _, found, _ in seen] == [2, 2]
    assert counts(prof)["tensorgrad::sin"] == 13
    names = [event.name for event in prof.events() if event.is_user_annotation]
    assert names == ["ProfilerStep#6", "ProfilerStep#7"]


def test_scheduled_profile_without_a_schedule_records_all():
    seen = []
    with scheduled_profile(activities=[ProfilerActivity.CPU], on_trace_ready=seen.append) as prof:
        tensorgrad.ones(2)
        prof.step()
        tensorgrad.ones(2)
    assert seen == [prof]
    assert counts(prof)["tensorgrad::ones"] == 2


def test_scheduled_profile_may_keep_all_cycles_up_to_its_bound():
    x = tensorgrad.ones(2)
    for bound, kept in ((100, 4), (5, 5)):
        with scheduled_profile(
            schedule=schedule(wait=0, warmup=1, active=1), acc_events=True, max_events=bound
        ) as prof:
            for _ in range(4 if bound == 100 else 12):
                x.sin()
                prof.step()
        assert len(prof.events()) == kept


def test_scheduled_profile_misused():
    prof = scheduled_profile(schedule=schedule(wait=1, warmup=1, active=1))
    with pytest.raises(RuntimeError, match="has been started"):
        prof.step()
    with prof, pytest.raises(RuntimeError, match="started already"):
        prof.start()
    with pytest.raises(RuntimeError, match="has recorded nothing yet"):
        prof.key_averages()


def test_handler_writes_a_file_each_cycle(tmp_path):
    handler = tensorboard_trace_handler(str(tmp_path / "traces"), worker_name="w", use_gzip=True)
    with scheduled_profile(schedule=schedule(wait=0, warmup=1, active=1), on_trace_ready=handler) as prof:
        for _ in range(4):
            tensorgrad.ones(2)
            prof.step()
    files = sorted(path.name for path in (tmp_path / "traces").iterdir())
    assert len(files) == 2
    assert all(re.fullmatch(r"w\.\d+\.pt\.trace\.json\.gz", name) for name in files)


# ---- stacks ------------------------------------------------------------------------------------------
def test_export_stacks(trained, tmp_path):
    path = tmp_path / "stacks.txt"
    trained.export_stacks(str(path))
    lines = path.read_text().splitlines()
    assert lines
    for line in lines:
        frames, _, value = line.rpartition(" ")
        assert int(value) > 0 and "training_step" in frames and " " not in frames
    with pytest.raises(ValueError, match="metric should be one of"):
        trained.export_stacks(str(path), "self_gpu")
    with profile() as prf:
        pass
    with pytest.raises(RuntimeError, match="with_stack=True"):
        prf.export_stacks(str(path))


# ---- PyTorch -----------------------------------------------------------------------------------------
@pytest.mark.parity
def test_the_table_is_laid_out_as_pytorch_does():
    torch = pytest.importorskip("torch", reason="compares with PyTorch")

    def tables(library, **options):
        x = library.ones(2, 3, requires_grad=True)
        with library.autograd.profiler.profile(**options) as prf:
            for _ in range(7):
                (x * x).sin()
        averages = prf.key_averages(group_by_input_shape=bool(options))
        return averages.table(header="title", top_level_events_only=True, row_limit=2)

    def layout(text):
        """Without the figures: a cell and the space to its left are as long whatever it holds."""
        text = re.sub(r"total: .*", "total:", text)
        return re.sub(r" *\d+\.\d+(us|ms|s|%)", lambda found: "#" * len(found[0]), text).splitlines()

    for options in ({}, {"record_shapes": True, "profile_memory": True}):
        ours, theirs = layout(tables(tensorgrad, **options)), layout(tables(torch, **options))
        for i, line in enumerate(ours):
            if "tensorgrad::" in line:
                ours[i] = line.replace("tensorgrad::", "aten::")
            elif line.startswith((" ", "---", "===")):
                ours[i] = line[len("tensorgrad") - len("aten") :]
        assert ours == theirs
