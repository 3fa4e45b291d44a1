"""What a worker's threads are told with each task."""

from inspect import signature

from celery import Celery
from celery.app.trace import trace_task_ret

from worker.intake.consumer import Threads


def test_a_task_is_looked_up_in_the_app_of_its_worker() -> None:
    """Celery's tracer would look in the default app of the process, which may be anybody's."""
    app = Celery("mine", set_as_current=False)
    pool = Threads(1, app=app)
    seen: dict[str, object] = {}
    pool.on_apply(
        lambda *_, **more: seen.update(more), ("task",), callback=lambda _: None, accept_callback=lambda *_: None
    ).wait(10)
    pool.stop()
    assert seen == {"app": app}
    assert "app" in signature(trace_task_ret).parameters
