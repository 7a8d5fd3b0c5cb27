"""What no page may do, whatever a test is about: complain, leave its origin, break its policy, ask for a message."""

from __future__ import annotations

from types import TracebackType

from playwright.sync_api import BrowserContext, ConsoleMessage, Page, Request, Response

REPORT_VIOLATIONS = """addEventListener("securitypolicyviolation", (event) => {
    console.error(`policy: ${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}:${event.lineNumber}`);
});"""
# Chromium's words for a page that came back with a reason, and for a lab that is away; what is asked for in vain
# although the lab is there is a fault of its own below.
EXPECTED = ("status of 4", "net::ERR_")


class Faults:
    """Watches every page of a context while the block lasts; a fault fails the block's end."""

    def __init__(self, context: BrowserContext, origin: str, patience_ms: float) -> None:
        self._origin = origin
        self._patience_ms = patience_ms
        self.found: list[str] = []
        context.add_init_script(REPORT_VIOLATIONS)
        context.on("page", self._watch)

    def __enter__(self) -> Faults:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            assert self.found == []

    def _watch(self, page: Page) -> None:
        page.set_default_timeout(self._patience_ms)
        page.on("pageerror", lambda error: self.found.append(f"error: {error}"))
        page.on("dialog", lambda dialog: self.found.append(f"dialog: {dialog.message}"))
        page.on("console", self._hear)
        page.on("request", self._follow)
        page.on("response", self._judge)

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not any(words in message.text for words in EXPECTED):
            self.found.append(f"console: {message.text}")

    def _follow(self, request: Request) -> None:
        if not request.url.startswith((self._origin + "/", "data:", "blob:")):
            self.found.append(f"request to {request.url}")

    def _judge(self, response: Response) -> None:
        """A page may answer with a problem; what a page needs may not."""
        if response.status >= 500 or (response.status >= 400 and response.request.resource_type in STATIC):
            self.found.append(f"{response.status} for {response.url}")


STATIC = ("stylesheet", "script", "image", "font", "manifest")
