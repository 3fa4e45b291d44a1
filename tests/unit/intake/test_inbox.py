"""What holds no request is told as the inbox reads it of the wire, without a word of the message."""

import pytest

from tests.support.broken import PLAIN, SECRET_PROMPT, Broken, received
from worker.intake.inbox import _opened
from worker.rules.untrusted import Unreadable


@pytest.mark.parametrize("message", PLAIN, ids=range(len(PLAIN)))
def test_what_holds_no_request_is_unreadable(message: Broken) -> None:
    """Whatever is wrong with it: its properties, its headers, what is around it, or its body."""
    with pytest.raises(Unreadable) as unreadable:
        _opened(received(message))
    assert str(unreadable.value).startswith(message.why)
    assert SECRET_PROMPT not in str(unreadable.value)
