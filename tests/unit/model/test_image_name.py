import pytest

from calico_ctl.errors import InvalidValue
from calico_ctl.model import image_name

DIGEST = "sha256:" + "ab" * 32


@pytest.mark.parametrize(
    ("name", "repository"),
    [
        ("busybox", "busybox"),
        ("busybox:1.36", "busybox"),
        ("calico/node:1.0.0", "calico/node"),
        ("10.99.0.1:5000/calico/node:1.0.0", "10.99.0.1:5000/calico/node"),
        ("localhost:5000/node", "localhost:5000/node"),
        ("[fd99::1]:5000/a/b/c:x", "[fd99::1]:5000/a/b/c"),
        (f"registry.example.org/node@{DIGEST}", "registry.example.org/node"),
        (f"registry.example.org/node:1@{DIGEST}", "registry.example.org/node"),
        (DIGEST, "sha256"),
    ],
)
def test_a_name_has_a_repository_and_perhaps_more(name, repository):
    assert image_name.parse(name, "--node-image") == name
    assert image_name.repository(name) == repository


@pytest.mark.parametrize(
    "text",
    ["", " ", "a b", "a:", "a/", "/a", "a//b", "a@b", "http://a/b", "a:b/c:d", "a\n", "ä", "a:b:c"],
)
def test_what_cannot_be_a_name_is_said(text):
    with pytest.raises(InvalidValue, match=r"invalid --node-image .*registry"):
        image_name.parse(text, "--node-image")
    assert image_name.repository(text) == text
