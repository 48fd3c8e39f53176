from hubbub.server.welcome import welcome


def test_links_are_not_broken_however_narrow_the_terminal(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    link = f"http://127.0.0.1:8000/#sign-in={'x' * 300}.[b]y[/b]"
    welcome("http://127.0.0.1:8000", link, 900)
    printed = capsys.readouterr().out
    assert "Hubbub is ready: http://127.0.0.1:8000/\n" in printed
    assert f"Sign in as admin (once, within 15m): {link}\n" in printed
    assert "\x1b" not in printed
