"""`client.jobs` of `hubbub.js` in a real browser, with a WebSocket and an API that the tests hold in their hands."""

import pytest

pytestmark = pytest.mark.asyncio(loop_scope="session")

OPTIONS = """{
  token: () => "t-1",
  fetch: async (url, options) => {
    window.asked.push({ url, ...options });
    const { status = 200, body } = window.answers.shift() ?? { status: 503, body: {} };
    return new Response(JSON.stringify(body), { status });
  },
}"""
BEGIN = """
window.asked = []; window.answers = [];
const job = (status, progress = 0, more = {}) => ({
  id: "j1", kind: "demo", status, progress, attempt: 1, message: null, result: null, error: null, ...more,
});
const answer = (body, status = 200) => window.answers.push({ status, body });
const push = (data, offset) => s.socket.say({ type: "job", channel: "job:j1", offset, data });
const subscribed = (more = {}) => s.socket.say({
  type: "subscribed", channel: "job:j1", epoch: "e1", offset: 0, messages: [], ref: s.socket.of("subscribe").at(-1)?.ref, ...more,
});
const later = async () => { for (let turn = 0; turn < 5; turn++) { await s.settle(); await new Promise((go) => setTimeout(go, 0)); } };
const follow = async () => {
  const watch = s.client.jobs.watch("j1");
  const seen = [];
  watch.on("job", ({ status, progress }) => seen.push(`${status} ${progress}`));
  return { watch, seen, outcome: s.outcome(watch.done) };
};
"""


@pytest.fixture
def act(play):
    """Run the body of an async function on the stage, with jobs."""

    async def run(body, options=OPTIONS):
        return await play(BEGIN + body, options)

    return run


async def test_what_it_asks(act, server):
    got = await act("""
        for (let each = 0; each < 9; each++) answer({ tasks: [] });
        await s.client.jobs.start("demo", { steps: 3 }, { idempotencyKey: "k" });
        await s.client.jobs.list({ status: "running", limit: 5, cursor: undefined });
        await s.client.jobs.list();
        await s.client.jobs.get("a/b");
        await s.client.jobs.cancel("j1");
        await s.client.jobs.retry("j1");
        await s.client.jobs.logs("j1");
        await s.client.jobs.logs("j1", { limit: 5 });
        await s.client.jobs.all({ owner: "ada & bob" });
        return window.asked.map(({ url, method, headers, body, credentials }) => [method, url, headers.authorization, body, credentials]);
    """)
    base = f"{server.url}/api/v1/"
    assert [(method, url.removeprefix(base), body) for method, url, _, body, _ in got] == [
        ("POST", "tasks/", '{"kind":"demo","params":{"steps":3},"idempotency_key":"k"}'),
        ("GET", "tasks/?status=running&limit=5", None),
        ("GET", "tasks/", None),
        ("GET", "tasks/a%2Fb", None),
        ("POST", "tasks/j1/cancel", None),
        ("POST", "tasks/j1/retry", None),
        ("GET", "tasks/j1/logs", None),
        ("GET", "tasks/j1/logs?limit=5", None),
        ("GET", "admin/tasks?owner=ada+%26+bob", None),
    ]
    assert {(authorization, credentials) for *_, authorization, _, credentials in got} == {
        ("Bearer t-1", "same-origin")
    }


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (409, '{type: "urn:hubbub:error:conflict", detail: "It is finished."}', "conflict"),
        (401, "{}", "unauthorized"),
        (503, "{}", "unavailable"),
        (418, "{}", "internal"),
    ],
)
async def test_a_refusal_is_an_error_with_its_code(act, status, body, code):
    got = await act(f"""
        answer({body}, {status});
        return s.client.jobs.get("j1").catch(({{ name, code }}) => [name, code]);
    """)
    assert got == ["HubbubError", code]


async def test_without_a_server_it_says_so_and_without_a_token_the_cookie_counts(act):
    got = await act(
        """
        let headers;
        const code = await s.client.jobs.get("j1").catch((error) => error.code);
        return [code, window.given];
        """,
        '{fetch: async (url, { headers }) => { window.given = headers; throw new TypeError("Failed to fetch"); }}',
    )
    assert got == ["connection_lost", {}]


async def test_a_watch_reads_the_job_when_it_is_subscribed_and_follows_it_to_its_result(act):
    got = await act("""
        await s.start();
        const { watch, seen, outcome } = await follow();
        answer(job("running", 10));
        await subscribed(); await later();
        await push(job("running", 50), 1);
        await push(job("completed", 100, { result: { steps: 3 } }), 2);
        return [seen, outcome, s.socket.of("unsubscribe").length, s.client.jobs.watch("j1") === watch];
    """)
    assert got == [
        ["running 10", "running 50", "completed 100"],
        {"state": "resolved", "value": {"steps": 3}},
        1,
        False,
    ]


async def test_what_was_told_meanwhile_is_newer_than_what_was_read(act):
    got = await act("""
        await s.start();
        const { seen } = await follow();
        answer(job("running", 10));
        const joined = subscribed();
        await push(job("running", 40), 1);
        await joined; await later();
        return seen;
    """)
    assert got == ["running 40"]


async def test_progress_that_was_stored_earlier_moves_no_bar_back(act):
    got = await act("""
        await s.start();
        const { seen } = await follow();
        answer(job("running", 10));
        await subscribed(); await later();
        await push(job("running", 60), 1);
        answer(job("running", 55));
        await s.comeBack();
        await subscribed({ recovered: false, offset: 9 }); await later();
        return seen;
    """)
    assert got == ["running 10", "running 60"]


async def test_what_was_missed_is_read_after_an_interruption(act):
    got = await act("""
        await s.start();
        const { seen, outcome } = await follow();
        answer(job("running", 10));
        await subscribed(); await later();
        await push(job("running", 20), 1);
        answer(job("completed", 100, { result: 7 }));
        await s.comeBack();
        const since = s.socket.of("subscribe").at(-1).since;
        await subscribed({ recovered: false, offset: 30 }); await later();
        return [since.offset, seen, outcome];
    """)
    assert got == [
        1,
        ["running 10", "running 20", "completed 100"],
        {"state": "resolved", "value": 7},
    ]


async def test_what_is_recovered_needs_no_request(act):
    got = await act("""
        await s.start();
        const { seen } = await follow();
        answer(job("running", 10));
        await subscribed(); await later();
        await s.comeBack();
        const missed = { type: "job", channel: "job:j1", offset: 1, data: job("running", 70) };
        await subscribed({ recovered: true, offset: 1, messages: [missed] }); await later();
        return [seen, window.asked.length];
    """)
    assert got == [["running 10", "running 70"], 1]


@pytest.mark.parametrize(
    ("status", "more", "code"),
    [("failed", '{error: "No."}', "job_failed"), ("cancelled", "{}", "job_cancelled")],
)
async def test_an_end_without_a_result_rejects(act, status, more, code):
    got = await act(f"""
        await s.start();
        const {{ seen, outcome }} = await follow();
        answer(job("{status}", 30, {more}));
        await subscribed(); await later();
        return [seen, outcome];
    """)
    assert got == [[f"{status} 30"], {"state": "rejected", "code": code}]


async def test_a_result_that_was_left_out_is_read(act):
    got = await act("""
        await s.start();
        const { seen, outcome } = await follow();
        answer(job("running", 10));
        await subscribed(); await later();
        answer(job("completed", 100, { result: "much" }));
        await push(job("completed", 100, { result_is_left_out: true }), 1);
        await later();
        return [seen, outcome];
    """)
    assert got == [["running 10", "completed 100"], {"state": "resolved", "value": "much"}]


async def test_an_api_that_is_away_for_a_moment_is_asked_again(act):
    got = await act("""
        await s.start();
        const { seen } = await follow();
        await subscribed(); await later();
        answer(job("running", 10));
        await s.clock.advance(5000); await later();
        return [seen, window.asked.length];
    """)
    assert got == [["running 10"], 2]


async def test_a_job_that_may_not_be_read_ends_the_watch(act):
    got = await act("""
        await s.start();
        const { watch, outcome } = await follow();
        const errors = [];
        watch.on("error", ({ code }) => errors.push(code));
        await s.socket.say({ type: "error", code: "forbidden", message: "No.", ref: s.socket.of("subscribe").at(-1).ref });
        await later();
        return [errors, outcome];
    """)
    assert got == [["forbidden"], {"state": "rejected", "code": "forbidden"}]


async def test_a_watch_can_be_stopped(act):
    got = await act("""
        await s.start();
        const { watch, outcome } = await follow();
        const same = s.client.jobs.watch("j1") === watch;
        answer(job("running", 10));
        watch.stop();
        await subscribed(); await later();
        return [same, outcome, s.socket.of("unsubscribe").length, watch.job];
    """)
    assert got == [True, {"state": "rejected", "code": "stopped"}, 1, None]


async def test_what_begins_on_another_device_is_told(act):
    got = await act("""
        await s.start({ channel: "user:ada", epoch: "e", offset: 0 });
        const begun = [];
        s.client.jobs.on("started", ({ id }) => begun.push(id));
        await s.socket.say({ type: "event", event: "job", channel: "user:ada", offset: 1, data: job("pending") });
        await s.socket.say({ type: "event", event: "other", channel: "user:ada", offset: 2, data: {} });
        return begun;
    """)
    assert got == ["j1"]
