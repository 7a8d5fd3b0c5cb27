"""The chart helper, a process that renders images: `python -m webapp.charts.rendering.worker`.

stdin:   one request per line, JSON: {"do": "svg", "spec": …}, {"do": "png", "spec": …},
         {"do": "png_of_svg", "svg": …} or {"do": "bundle"}; the process exits at once when stdin ends
stdout:  one answer per line, JSON: {"done": base64} or {"error": text}
stderr:  error messages, as text

vl-convert holds the interpreter lock while it works, up to a second per image, and its JavaScript engine adds threads
and 35 GB of virtual memory. In the process of the lab that would stop servers in threads and distort the lab's samples.
"""

from __future__ import annotations

import base64
import gzip
import json
import os
import queue
import sys
import threading
from typing import Any

import vl_convert

from coreserver.process_setup import claim_stdout, stdin_lines
from webapp.charts.rendering.vega_version import VEGA_LITE

PNG_SCALE = 2.0  # pixels per unit: sharp on a projector and in print
NICE = 5  # images have a lower priority than other work


def main() -> int:
    """Answer requests until stdin ends."""
    answers = claim_stdout()
    os.nice(NICE)
    requests: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_follow_lifeline, args=(requests,), name="lifeline", daemon=True).start()
    with open(answers, "wb") as out:
        while True:
            out.write(json.dumps(_answer(requests.get())).encode() + b"\n")
            out.flush()


def _answer(line: bytes) -> dict[str, str]:
    try:
        return {"done": base64.b64encode(_render(json.loads(line))).decode("ascii")}
    except Exception as error:  # the converter may raise anything; the next request may succeed
        return {"error": f"{type(error).__name__}: {error}"}


def _render(request: dict[str, Any]) -> bytes:
    match request["do"]:
        case "svg":
            return vl_convert.vegalite_to_svg(request["spec"], vl_version=VEGA_LITE, allowed_base_urls=[]).encode()
        case "png":
            return vl_convert.vegalite_to_png(
                request["spec"], vl_version=VEGA_LITE, scale=PNG_SCALE, allowed_base_urls=[]
            )
        case "png_of_svg":
            return vl_convert.svg_to_png(request["svg"], scale=PNG_SCALE)
        case "bundle":
            script = vl_convert.javascript_bundle(vl_version=VEGA_LITE)  # type: ignore[call-arg] # its stub is wrong
            return gzip.compress(script.encode(), mtime=0)
    raise ValueError("unknown request")


def _follow_lifeline(requests: queue.SimpleQueue[bytes]) -> None:
    for line in stdin_lines():
        requests.put(line)
    os._exit(0)  # the parent has ended


if __name__ == "__main__":
    sys.exit(main())
