from netaddr import IPAddress

from calico_ctl.docker_api.etcd_container import EtcdContainer

REQUEST = EtcdContainer("calico/node:1", IPAddress("10.0.0.1")).request()


def test_etcd_listens_where_tools_look_and_where_other_hosts_reach_it():
    command = REQUEST.body["Cmd"]
    assert isinstance(command, list)
    assert "--enable-v2" in command
    assert (
        "--listen-client-urls=http://127.0.0.1:4001,http://127.0.0.1:2379,http://10.0.0.1:2379"
        in command
    )
    assert "--advertise-client-urls=http://10.0.0.1:2379" in command


def test_without_v2_etcd_does_not_serve_it():
    command = EtcdContainer("i", IPAddress("10.0.0.1"), v2=False).request().body["Cmd"]
    assert isinstance(command, list)
    assert "--enable-v2=false" in command
    assert "--enable-v2" not in command


def test_an_address_is_listened_on_only_once():
    command = EtcdContainer("i", IPAddress("127.0.0.1")).request().body["Cmd"]
    assert isinstance(command, list)
    assert "--listen-client-urls=http://127.0.0.1:4001,http://127.0.0.1:2379" in command


def test_the_data_outlives_the_container():
    config = REQUEST.body["HostConfig"]
    assert isinstance(config, dict)
    assert config["Binds"] == ["/var/lib/calico/etcd:/var/lib/calico/etcd"]
