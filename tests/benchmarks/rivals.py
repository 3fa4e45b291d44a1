"""What our jobs a second are held against: a Celery loop that promises nothing, and the vendor's SDK in threads.

``celery -A tests.benchmarks.rivals worker`` runs the loop: submit, a countdown, poll, the file; no row, no event, and
what was in hand is lost with its worker. ``python -m tests.benchmarks.rivals URL`` runs the SDK for ever.
"""

import os
import sys
import threading
from functools import cache
from itertools import count

import httpx
from celery import Celery, Task
from segmind import SegmindClient

from tests.support.judge import tiny_image

SLUG = "sam-3d-objects"
KEY = "SG_0123456789abcdef"
THREADS = 64

app = Celery("bare", broker=os.environ.get("BARE_BROKER_URL", "memory://"))
app.conf.update(
    task_ignore_result=True,
    task_acks_late=True,
    worker_prefetch_multiplier=1,
    worker_send_task_events=False,
    broker_transport_options={"confirm_publish": True},
)


@cache
def _client() -> httpx.Client:
    return httpx.Client(base_url=os.environ["BARE_VENDOR_URL"], headers={"x-api-key": KEY})


@app.task(name="bare.submit")
def submit(image: str) -> None:
    """Start a run, and look at it when it should be over."""
    answer = _client().post(f"/v2/{SLUG}", json={"image": image}).raise_for_status().json()
    poll.apply_async((answer["request_id"],), countdown=float(os.environ["BARE_RUN_SECONDS"]))


@app.task(name="bare.poll", bind=True)
def poll(task: "Task[[str], None]", request_id: str) -> None:
    """Look at a run, and fetch its file if it is over."""
    answer = _client().get(f"/v2/requests/{request_id}").raise_for_status().json()
    if answer["status"] != "COMPLETED":
        task.apply_async((request_id,), countdown=1)
        return
    _client().get(answer["output"]).raise_for_status()


def run_sdk(url: str) -> None:
    """Submit, wait and fetch in each thread, as the SDK's own examples do."""
    client = SegmindClient(api_key=KEY, base_url=f"{url}/v1")
    files = httpx.Client(limits=httpx.Limits(max_connections=THREADS))
    image = tiny_image()

    def loop() -> None:
        for _ in count():
            result = client.submit_async(SLUG, image=image).wait()
            files.get(result["output"]).raise_for_status()

    threads = [threading.Thread(target=loop) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    threads[0].join()


if __name__ == "__main__":
    run_sdk(sys.argv[1])
