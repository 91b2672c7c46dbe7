"""Access and rate limits."""

import time

import pytest


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"Authorization": "Basic Og=="}, 401),  # an empty key
        ({"Authorization": "Basic !!!"}, 401),
        ({"Authorization": "Basic YmFkLWtleTo="}, 401),  # bad-key:
        ({"Authorization": "Bearer bad-token"}, 401),
        ({"Authorization": "Digest abc"}, 401),
        ({"Authorization": "Basic YW55LWtleTo="}, 200),  # any-key:
        ({"Authorization": "Bearer any-token"}, 200),
    ],
)
async def test_only_a_usable_key_opens_the_door(world, headers, status):
    """Basic with any key but `bad-...`, or Bearer; the refusal has the vendor's body."""
    world.api.auth = None
    answer = await world.api.get("/v3/account", headers=headers)
    assert answer.status_code == status
    if status == 401:
        assert answer.json()["error"]["error_name"] == "unauthorized"


@pytest.mark.parametrize(("method", "path", "status", "name"), [
    ("GET", "/v3/signature_request/0000", 404, "not_found"),
    ("GET", "/v3/no_such_thing", 404, "not_found"),
    ("DELETE", "/v3/account", 405, "method_not_supported"),
])  # fmt: skip
async def test_refusals_have_the_vendors_body(world, method, path, status, name):
    """Unknown things and wrong verbs are refused in the vendor's form, not the framework's."""
    answer = await world.api.request(method, path)
    assert answer.status_code == status
    assert set(answer.json()) == {"error"}
    assert answer.json()["error"]["error_name"] == name


async def test_each_tier_has_its_own_budget(world):
    """Standard, high tier and test mode are counted apart; 429 has no Retry-After but a reset time."""
    while time.time() % 60 > 55:  # the minute must not end during the count
        time.sleep(0.5)
    await world.limits(standard=3, high=1, test=2)
    standard = [await world.api.get("/v3/account") for _ in range(4)]
    tests = [await world.send() for _ in range(3)]
    binding = [await world.send(test_mode=False) for _ in range(2)]
    assert [a.status_code for a in standard] == [200, 200, 200, 429]
    assert [a.status_code for a in tests] == [200, 200, 429]
    assert [a.status_code for a in binding] == [200, 429]
    assert [a.headers["X-RateLimit-Remaining"] for a in standard] == ["2", "1", "0", "0"]
    refused = standard[-1]
    assert refused.json()["error"]["error_name"] == "exceeded_rate"
    assert "Retry-After" not in refused.headers
    assert refused.headers["X-RateLimit-Limit"] == "3"
    assert 0 < int(refused.headers["X-Ratelimit-Reset"]) - time.time() <= 60


async def test_limits_are_generous_unless_set(world):
    """A demo does not wait: the default limits are far above the vendor's."""
    shown = (await world.api.get("/_sandbox/limits")).json()
    assert (shown["standard"], shown["high"], shown["test"]) == (1000, 1000, 1000)


async def test_a_dial_that_does_not_exist_is_refused(world):
    """A misspelt limit is an error."""
    answer = await world.api.put("/_sandbox/limits", json={"standart": 5})
    assert answer.status_code == 422


async def test_the_key_never_reaches_the_request_log(world):
    """What was called can be read back, without the credential."""
    await world.api.get("/v3/account")
    shown = (await world.api.get("/_sandbox/requests")).text
    assert "/v3/account" in shown
    assert "stand-in-test-key" not in shown
    assert "c3RhbmQtaW4tdGVzdC1rZXk6" not in shown  # the same in base64


async def test_rate_headers_keep_their_odd_capitals(world):
    """X-Ratelimit-Reset has a small l where the others have a capital one, on refusals too."""
    await world.limits(standard=1)
    wanted = {b"X-RateLimit-Limit", b"X-RateLimit-Remaining", b"X-Ratelimit-Reset"}
    for answer in [await world.api.get("/v3/account") for _ in range(2)]:
        assert wanted <= {name for name, _ in answer.headers.raw}
