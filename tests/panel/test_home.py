"""The address that `tracetail up` and `panel` print opens the list of launches."""


async def test_the_printed_address_leads_to_the_panel(panel, caplog):
    async with panel.session.get(panel.url + "/", allow_redirects=False) as answer:
        assert (answer.status, answer.headers["Location"]) == (302, "/panel")
    async with panel.session.get(panel.url + "/") as page:
        assert (page.status, page.content_type) == (200, "text/html")
    assert "failed" not in caplog.text
