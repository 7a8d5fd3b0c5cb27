"""Faults that no page may have in any test: console errors, foreign requests, policy violations, dialogs."""

from __future__ import annotations

from types import TracebackType

from playwright.sync_api import BrowserContext, ConsoleMessage, Page, Request, Response

REPORT_VIOLATIONS = """addEventListener("securitypolicyviolation", (event) => {
    console.error(`policy: ${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}:${event.lineNumber}`);
});"""
# Chromium's messages for a page with a problem status and for a lab that was stopped. A failed request for a resource
# of the page is found by its response.
EXPECTED = ("status of 4", "net::ERR_")
RESOURCES = ("stylesheet", "script", "image", "font", "manifest")


class Faults:
    """Watches every page of a browser context; the end of the block fails if a fault was found."""

    def __init__(self, context: BrowserContext, origin: str, timeout_ms: float) -> None:
        self._origin = origin
        self._timeout_ms = timeout_ms
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
        page.set_default_timeout(self._timeout_ms)
        page.on("pageerror", lambda error: self.found.append(f"error: {error}"))
        page.on("dialog", lambda dialog: self.found.append(f"dialog: {dialog.message}"))
        page.on("console", self._check_console)
        page.on("request", self._check_origin)
        page.on("response", self._check_status)

    def _check_console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not any(words in message.text for words in EXPECTED):
            self.found.append(f"console: {message.text}")

    def _check_origin(self, request: Request) -> None:
        if not request.url.startswith((self._origin + "/", "data:", "blob:")):
            self.found.append(f"request to {request.url}")

    def _check_status(self, response: Response) -> None:
        """Record a failed resource; a page itself may have a problem status."""
        if response.status >= 500 or (response.status >= 400 and response.request.resource_type in RESOURCES):
            self.found.append(f"{response.status} for {response.url}")
