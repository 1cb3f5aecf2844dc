"""Attachments for pytest-html and Allure, where they are installed and used."""

from typing import Any

import pytest


def attach_text(item: pytest.Item, report: pytest.TestReport, name: str, text: str) -> None:
    """Attach a text to a test's report."""
    if item.config.getoption("htmlpath", None):
        import pytest_html  # noqa: PLC0415

        _add_extra(report, pytest_html.extras.text(text, name=name))
    if item.config.getoption("allure_report_dir", None):
        import allure  # noqa: PLC0415

        allure.attach(text, name=name, attachment_type=allure.attachment_type.TEXT)


def attach_link(item: pytest.Item, report: pytest.TestReport, name: str, url: str) -> None:
    """Attach a link to a test's report; nothing for an empty address."""
    if url and item.config.getoption("htmlpath", None):
        import pytest_html  # noqa: PLC0415

        _add_extra(report, pytest_html.extras.url(url, name=name))
    if url and item.config.getoption("allure_report_dir", None):
        import allure  # noqa: PLC0415

        dynamic: Any = allure.dynamic
        dynamic.link(url, name=name)


def _add_extra(report: pytest.TestReport, extra: object) -> None:
    report.extras = [*getattr(report, "extras", []), extra]  # type: ignore[attr-defined]
