from calico_ctl.docker_api.request import CONFIGURATION_LABEL, ContainerRequest


def test_equal_requests_have_equal_digests_whatever_the_order_of_their_fields():
    one = ContainerRequest("web", {"Image": "a", "Env": ["X=1"]})
    other = ContainerRequest("web", {"Env": ["X=1"], "Image": "a"})
    assert one.digest == other.digest
    assert one.digest != ContainerRequest("web", {"Image": "b", "Env": ["X=1"]}).digest


def test_the_digest_travels_as_a_label_and_is_not_part_of_itself():
    request = ContainerRequest("web", {"Image": "a"})
    assert request.labelled() == {"Image": "a", "Labels": {CONFIGURATION_LABEL: request.digest}}
