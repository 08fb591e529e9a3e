import time
from netaddr import IPNetwork
from calico_ctl.model import manifest, manifest_text, manifest_diff
from calico_ctl.model.pool import Pool
from calico_ctl.model.profile import Profile
from calico_ctl.model.rule import Rule, Rules, Ports
def test_perf(shell, tmp_path):
    rs=[Rule(protocol="tcp",dst_ports=(Ports(n,n),)) for n in range(1,5001)]
    a=Profile("a",(),Rules(tuple(rs))); b=Profile("a",(),Rules(tuple(reversed(rs))))
    t=time.time(); n=len(manifest_diff.lines(a,b,"x")); print("diff reversed 5000",n,time.time()-t)
    b=Profile("a",(),Rules(tuple(r for i,r in enumerate(rs) if i%7)))
    t=time.time(); n=len(manifest_diff.lines(a,b,"x")); print("diff 1/7",n,time.time()-t)
    st=[manifest.Stated(Pool(IPNetwork((10<<24)+(n<<12),4) if 0 else IPNetwork(f"10.{n//16}.{n%16*16}.0/20")),"x") for n in range(1000)]
    t=time.time(); manifest.require_consistent(st); print("1000 pools",time.time()-t)
    ps=[Profile(f"p{n}",(f"p{n}",),Rules((Rule(src_tag=f"p{n}"),)*5,(Rule(),))) for n in range(1000)]
    (tmp_path/"x.yaml").write_text(manifest_text.in_yaml([manifest.document(p) for p in ps]))
    for l in (f"apply -f {tmp_path}/x.yaml",)*2+(f"diff -f {tmp_path}/x.yaml","export","export --output=json"):
        t=time.time(); out=shell.done(l); print(l,len(out),time.time()-t)
