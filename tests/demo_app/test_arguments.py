import asyncio
import json
import math
import re
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audiovq.errors import ConfigError
from tests.demo_app.panels.conftest import needs_gradio

pytestmark = needs_gradio


def whole(**more):
    import gradio as gr

    return gr.Number(label="Codebooks: how many", precision=0, minimum=0, maximum=256, **more)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, "empty"), ("two", "'two'"), ([1], "[1]"), (True, "True"), (1.5, "1.5"),
        (-1, "-1"), (1e300, "1e+300"), (math.nan, "nan"), (math.inf, "inf"), (10**400, "1000"),
    ],
)  # fmt: skip
def test_what_is_no_number_of_a_control_is_refused_by_its_name(value, said):
    from demo_app.arguments import check_number

    with pytest.raises(ConfigError) as caught:
        check_number(whole(), value)
    line = str(caught.value)
    assert line.startswith(f"Codebooks must be a whole number from 0 to 256, not {said}")
    assert len(line) < 120


def test_every_control_says_its_own_range():
    import gradio as gr

    from demo_app.arguments import check_number

    check_number(whole(), 3.0)
    check_number(gr.Number(label="x"), -1e300)
    check_number(gr.Slider(0.0, 1.0, step=0.05, label="x"), 0.15)
    for control, value, words in (
        (gr.Number(label="x"), math.inf, "must be a number, not"),
        (gr.Number(label="x", minimum=0), -0.5, "must be a number of at least 0, not"),
        (gr.Slider(2, 10, step=1, label="x"), 2.5, "must be a whole number from 2 to 10, not"),
        (gr.Slider(0.0, 1.0, step=0.05, label="x"), 1.01, "must be a number from 0 to 1, not"),
    ):
        with pytest.raises(ConfigError, match=words):
            check_number(control, value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists, max_leaves=3
)


@given(value=JSON)
def test_what_passes_can_be_counted_with(value):
    from demo_app.arguments import check_number

    value = json.loads(json.dumps(value))
    try:
        check_number(whole(), value)
    except ConfigError as error:
        assert "\n" not in str(error)  # noqa: PT017
    else:
        assert int(value) in range(257)


@pytest.mark.parametrize(
    ("value", "words"), [("b", "not in the list"), ({"a": []}, "not in the list|not of the kind")]
)
def test_what_gradio_refuses_itself_is_not_logged_either(value, words):
    import gradio as gr

    from demo_app.arguments import Page

    with Page() as page:
        gr.Button().click(lambda _: None, gr.Dropdown(["a"], value="a"), None)
    (function,) = page.fns.values()
    with ThreadPoolExecutor() as pool:  # the browser's loop may run in this thread
        found = pool.submit(asyncio.run, page.preprocess_data(function, [value], None)).exception()
    assert isinstance(found, gr.Error)
    assert not found.print_exception
    assert re.search(words, found.message)
