"""Which addresses are called for merchants, and which never."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from ipaddress import ip_address

import pytest

from app.addresses import AddressRefused, CheckingResolver, check, is_public


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "0.0.0.0",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "168.63.129.16",
        "100.100.100.200",
        "192.0.0.192",
        "198.18.0.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "fe80::1",
        "fc00::1",
        "fd00:ec2::254",
        "fec0::1",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe",
        "2002:7f00:1::",
        "2002:a00:1::",
        "2001:db8::1",
        "2001:0:a9fe:a9fe::1",
    ],
)
def test_an_address_inside_a_network_is_not_public(address: str) -> None:
    assert not is_public(ip_address(address))


@pytest.mark.parametrize("address", ["1.1.1.1", "93.184.216.34", "2606:4700:4700::1111"])
def test_an_address_on_the_internet_is(address: str) -> None:
    assert is_public(ip_address(address))


@pytest.mark.parametrize(
    "url",
    [
        "http://tax.example.com/",
        "https://127.0.0.1/",
        "https://[::1]/",
        "https://[::ffff:10.0.0.1]/",
        "https://169.254.169.254/latest/meta-data/",
        "https://user:pass@tax.example.com/",
        "https://tax.example.com/#part",
        "https://:443/",
        "https://tax.example.com:0/",
        "https://tax.example.com:99999/",
        "https://[::1/",
        "ftp://tax.example.com/",
        "file:///etc/passwd",
        "https://shop..example.com/",
        "https://.example.com/",
        "https://xn--/",
        f"https://{'a' * 64}.example.com/",
    ],
)
def test_such_an_address_is_refused(url: str) -> None:
    with pytest.raises(AddressRefused):
        check(url, private=False)


def test_what_a_deployment_allows_may_be_inside() -> None:
    check("https://tax.example.com/rates?v=1", private=False)
    check("http://10.0.0.1:8080/rates", private=True)
    with pytest.raises(AddressRefused):
        check("ftp://10.0.0.1/", private=True)


@pytest.mark.anyio
@pytest.mark.parametrize("name", ["localhost", "127.1", "2130706433", "0x7f000001"])
async def test_a_name_is_judged_by_every_address_behind_it(name: str) -> None:
    resolver = CheckingResolver()
    with pytest.raises(OSError, match=r"private network|not known|No address"):
        await resolver.resolve(name, 443)


@pytest.fixture
def tarpit(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Names under tarpit.example are looked up until the test is over; others lead somewhere."""
    over, found = threading.Event(), (socket.AF_INET, socket.SOCK_STREAM, 6, "")

    def look_up(host: str, port: int, *_: object, **__: object) -> list[object]:
        if host.endswith("tarpit.example"):
            over.wait(60)
        return [(*found, ("93.184.216.34", port))]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    yield
    over.set()


@pytest.mark.anyio
@pytest.mark.usefixtures("tarpit")
async def test_names_that_take_long_are_in_nobodys_way() -> None:
    resolver = CheckingResolver()
    stuck = [
        asyncio.create_task(resolver.resolve(f"{number}.tarpit.example", 443))
        for number in range(40)
    ]
    await asyncio.sleep(0)
    async with asyncio.timeout(10):
        [found] = await resolver.resolve("shop.example.com", 443)
        assert (found["host"], found["port"]) == ("93.184.216.34", 443)
        assert await asyncio.to_thread(int, "1") == 1  # what everything else waits in
    for task in stuck:
        task.cancel()
