"""Keeps schemathesis from waiting: a long-poll answers at once, and a request waits a second at most."""

import schemathesis


@schemathesis.hook
def before_call(context, case, kwargs):
    if case.path == "/v1/subscribe":
        case.query = {**(case.query or {}), "wait": "0"}
        case.headers = {**(case.headers or {}), "Accept": "application/json"}
    if case.path.startswith("/v1/request/"):
        case.query = {**(case.query or {}), "timeout": "1"}
