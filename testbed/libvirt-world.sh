# shellcheck shell=bash
# libvirt-world.sh: what testbed/libvirt puts on its hosts. Sourced, never run.
#
#   a  a compute host of OpenStack: network tenant (10.77.0.0/24 with a range, 2001:db8:77::/64) and eight domains,
#      seven with the metadata that Nova writes (from Wallaby on with ports), four of them running:
#        instance-00000001 web-1    running  fixed and floating IPv4; has a <host> entry as well
#        instance-00000002 db-1     running  two ports, the first with IPv4 and IPv6
#        instance-00000003 v6only   running
#        instance-00000004 noports  no port, no NIC
#        instance-00000005 noip     running  a port without addresses
#        instance-00000006 nometa   no metadata
#        instance-00000007 nova10   metadata of before Wallaby: no list of ports
#        instance-00000008 stopped  fixed IPv4
#   b  a plain host: network default (192.168.122.0/24, NAT) with domains plain-1 (running, has a lease) and plain-2
#      (stopped, has a <host> entry), an entry and a lease of MACs of no domain (printer, ghost); and another
#      network tenant (10.79.0.0/24), so that a's guests can move here
#   c  N inactive domains vm-1 to vm-N, written by "bulk", each with a port of three addresses on an OVS bridge

uuid() { # NAME: always the same for the same name (version 5)
  local h
  h=$( { printf '\x6b\xa7\xb8\x10\x9d\xad\x11\xd1\x80\xb4\x00\xc0\x4f\xd4\x30\xc8'; printf %s "$1"; } | sha1sum)
  printf '%s-%s-5%s-%x%s-%s' "${h:0:8}" "${h:8:4}" "${h:13:3}" $((0x${h:16:1} & 3 | 8)) "${h:17:3}" "${h:20:12}"
}

# nova NAME VERSION [PORT=TYPE:ADDRESS,…]...: Nova's metadata; the number of the port stands for its UUID
nova() {
  local name=$1 version=$2 port a addresses; shift 2
  printf '<metadata><nova:instance xmlns:nova="http://openstack.org/xmlns/libvirt/nova/%s"><nova:package version="27.1.0"/><nova:name>%s</nova:name>' "$version" "$name"
  printf '<nova:creationTime>2026-01-02 03:04:05</nova:creationTime><nova:flavor name="m1.nano"><nova:memory>32</nova:memory><nova:disk>0</nova:disk>'
  printf '<nova:swap>0</nova:swap><nova:ephemeral>0</nova:ephemeral><nova:vcpus>1</nova:vcpus></nova:flavor>'
  printf '<nova:owner><nova:user uuid="%s">alice</nova:user><nova:project uuid="%s">demo</nova:project></nova:owner>' "$(uuid user.demo)" "$(uuid project.demo)"
  if [ "$version" != 1.0 ]; then
    printf '<nova:ports>'
    for port in "$@"; do
      IFS=, read -ra addresses <<<"${port#*=}"
      printf '<nova:port uuid="%s">' "$(uuid "$name.port${port%%=*}")"
      for a in "${addresses[@]}"; do
        printf '<nova:ip type="%s" address="%s" ipVersion="%s"/>' "${a%%:*}" "${a#*:}" "$([[ ${a#*:} == *:* ]] && echo 6 || echo 4)"
      done
      printf '</nova:port>'
    done
    printf '</nova:ports>'
  fi
  printf '</nova:instance></metadata>'
}

# domain NAME UUID METADATA [NETWORK,MAC,TAP]...: boots from the network, as the one thing to do that needs no disk:
# the NIC's ROM asks for an address by DHCP some seconds after the start, and so the guest gets a real lease.
domain() {
  local name=$1 id=$2 metadata=$3 nic part; shift 3
  printf '<domain type="qemu"><name>%s</name><uuid>%s</uuid>%s<memory unit="MiB">32</memory><vcpu>1</vcpu>' "$name" "$id" "$metadata"
  printf '<os><type arch="x86_64" machine="pc">hvm</type><boot dev="network"/></os><features><acpi/></features>'
  printf '<clock offset="utc"/><on_poweroff>destroy</on_poweroff><on_crash>destroy</on_crash><devices><controller type="usb" model="none"/>'
  for nic in "$@"; do
    IFS=, read -ra part <<<"$nic"
    printf '<interface type="network"><mac address="%s"/><source network="%s"/><target dev="%s"/><model type="virtio"/></interface>' "${part[1]}" "${part[0]}" "${part[2]}"
  done
  printf '<memballoon model="none"/></devices></domain>\n'
}

instance() { # NUMBER NAME MACS METADATA: a domain as Nova defines it
  local nics=() mac n=0 tap
  for mac in $3; do
    tap=tap$(uuid "$2.port$n") n=$((n + 1))
    nics+=("tenant,$mac,${tap:0:14}")
  done
  domain "$(printf 'instance-%08x' "$1")" "$(uuid "$2")" "$4" "${nics[@]}" >"$(printf '%s/a/domains/instance-%08x.xml' "$WORLD" "$1")"
}

world() { # writes it into $WORLD, a folder per host
  local m=fa:16:3e:00:00
  mkdir -p "$WORLD"/{a,b}/{domains,networks,seen}
  cat >"$WORLD/a/networks/tenant.xml" <<E
<network><name>tenant</name><uuid>$(uuid tenant.a)</uuid><bridge name="virbr-ten" stp="off" delay="0"/><mac address="52:54:00:00:0a:01"/>
<ip address="10.77.0.1" netmask="255.255.255.0"><dhcp><range start="10.77.0.200" end="10.77.0.220"><lease expiry="8760" unit="hours"/></range>
<host mac="$m:01" name="web-1" ip="10.77.0.11"><lease expiry="8760" unit="hours"/></host></dhcp></ip>
<ip family="ipv6" address="2001:db8:77::1" prefix="64"/></network>
E
  cat >"$WORLD/b/networks/tenant.xml" <<E
<network><name>tenant</name><uuid>$(uuid tenant.b)</uuid><bridge name="virbr-other" stp="off" delay="0"/><mac address="52:54:00:00:0b:01"/>
<ip address="10.79.0.1" prefix="24"/></network>
E
  cat >"$WORLD/b/networks/default.xml" <<E
<network><name>default</name><uuid>$(uuid default.b)</uuid><forward mode="nat"/><bridge name="virbr0" stp="off" delay="0"/><mac address="52:54:00:00:0b:02"/>
<ip address="192.168.122.1" netmask="255.255.255.0"><dhcp><range start="192.168.122.100" end="192.168.122.199"><lease expiry="8760" unit="hours"/></range>
<host mac="52:54:00:00:01:02" name="plain-2" ip="192.168.122.12"/>
<host mac="52:54:00:00:01:99" name="printer" ip="192.168.122.99"/></dhcp></ip></network>
E
  instance 1 web-1 $m:01 "$(nova web-1 1.1 0=fixed:10.77.0.11,floating:203.0.113.11)"
  instance 2 db-1 "$m:02 $m:03" "$(nova db-1 1.1 0=fixed:10.77.0.12,fixed:2001:db8:77::12 1=fixed:10.77.0.13)"
  instance 3 v6only $m:04 "$(nova v6only 1.1 0=fixed:2001:db8:77::14)"
  instance 4 noports '' "$(nova noports 1.1)"
  instance 5 noip $m:06 "$(nova noip 1.1 0=)"
  instance 6 nometa 52:54:00:00:00:07 ''
  instance 7 nova10 $m:08 "$(nova nova10 1.0)"
  instance 8 stopped $m:09 "$(nova stopped 1.1 0=fixed:10.77.0.19)"
  domain plain-1 "$(uuid plain-1)" '' default,52:54:00:00:01:01,tap-plain-1 >"$WORLD/b/domains/plain-1.xml"
  domain plain-2 "$(uuid plain-2)" '' default,52:54:00:00:01:02,tap-plain-2 >"$WORLD/b/domains/plain-2.xml"
  domain ghost "$(uuid ghost)" '' default,52:54:00:00:01:50,tap-ghost >"$WORLD/b/ghost.xml"
  printf '%s\n' instance-0000000{1,2,3,5} >"$WORLD/a/running"
  printf '%s\n' plain-1 >"$WORLD/b/running"
  printf '%s\n' tenant\ $m:0{1,2,4,6} >"$WORLD/a/leases"
  printf '%s\n' 'default 52:54:00:00:01:01' 'default 52:54:00:00:01:50' >"$WORLD/b/leases"
}

# bulk_domains N FOLDER: a thousand definitions in no time, since the daemon reads them from the folder when it starts.
bulk_domains() {
  awk -v n="$1" -v folder="$2" -v user="$(uuid user.demo)" -v project="$(uuid project.demo)" 'BEGIN {
    for (i = 1; i <= n; i++) {
      name = sprintf("instance-%08x", 4096 + i); port = sprintf("%08x-0000-4000-9000-000000000000", i); file = folder "/" name ".xml"
      printf "<domain type=\"qemu\"><name>%s</name><uuid>b0000000-0000-4000-8000-%012x</uuid><metadata>", name, i >file
      printf "<nova:instance xmlns:nova=\"http://openstack.org/xmlns/libvirt/nova/1.1\"><nova:package version=\"27.1.0\"/><nova:name>vm-%d</nova:name>", i >file
      printf "<nova:creationTime>2026-01-02 03:04:05</nova:creationTime><nova:flavor name=\"m1.nano\"><nova:memory>32</nova:memory><nova:disk>0</nova:disk>" >file
      printf "<nova:swap>0</nova:swap><nova:ephemeral>0</nova:ephemeral><nova:vcpus>1</nova:vcpus></nova:flavor><nova:owner>" >file
      printf "<nova:user uuid=\"%s\">alice</nova:user><nova:project uuid=\"%s\">demo</nova:project></nova:owner><nova:ports><nova:port uuid=\"%s\">", user, project, port >file
      printf "<nova:ip type=\"fixed\" address=\"10.%d.%d.%d\" ipVersion=\"4\"/>", 80 + int(i / 65536), int(i / 256) % 256, i % 256 >file
      printf "<nova:ip type=\"floating\" address=\"198.%d.%d.%d\" ipVersion=\"4\"/>", 18 + int(i / 65536), int(i / 256) % 256, i % 256 >file
      printf "<nova:ip type=\"fixed\" address=\"2001:db8:78::%x\" ipVersion=\"6\"/>", i >file
      printf "</nova:port></nova:ports></nova:instance></metadata><memory unit=\"MiB\">32</memory><vcpu>1</vcpu>" >file
      printf "<os><type arch=\"x86_64\" machine=\"pc\">hvm</type></os><devices><controller type=\"usb\" model=\"none\"/><interface type=\"bridge\">" >file
      printf "<mac address=\"fa:16:3e:%02x:%02x:%02x\"/><source bridge=\"br-int\"/><virtualport type=\"openvswitch\">", 1 + int(i / 65536), int(i / 256) % 256, i % 256 >file
      printf "<parameters interfaceid=\"%s\"/></virtualport><target dev=\"tap%s\"/><model type=\"virtio\"/></interface>", port, substr(port, 1, 11) >file
      print "<memballoon model=\"none\"/></devices></domain>" >file
      close(file)
    }
  }'
}
