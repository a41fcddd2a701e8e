---@meta netlab
-- Made by `netlab doc` from the option tables in bindings/lua: change those.

---What I/O returns as its second result.
---@class netlab.error
---@field code string
---@field message string
---@field op string

---A place to listen, as network:at(port) returns it.
---@class netlab.listen

---@class netlab.node
---@field name string
---@field mac? string
---@field macs string[]
---@field uuid? string
---@field serial? string
---@field ip? string the reserved address
---@field address? string the address it has now
---@field role? string
---@field labels table<string, string>
---@field declared boolean

---@class netlab.file_info
---@field name string
---@field folder boolean
---@field size integer
---@field modified integer seconds since 1970
---@field changed number the same, of its content, name or attributes; parts of a second count

---@class netlab.process_result
---@field exit_code integer
---@field signal integer
---@field output string
---@field errors string
---@field dropped integer

---@class netlab.http_response
---@field status integer
---@field ok boolean
---@field headers table<string, string>
---@field body string
---@field url string

---@class netlab.option
---@field name string
---@field type string|table
---@field default? any
---@field required? boolean
---@field help? string

---@class netlab
---@field version string
---@field null lightuserdata
local netlab = {}
netlab.assets = {}
netlab.aws = {}
netlab.base64 = {}
netlab.boot = {}
netlab.dhcp = {}
netlab.digest = {}
netlab.dns = {}
netlab.err = {}
netlab.fs = {}
netlab.http = {}
netlab.json = {}
netlab.log = {}
netlab.net = {}
netlab.process = {}
netlab.registry = {}
netlab.talos = {}
netlab.testing = {}
netlab.tftp = {}
netlab.yaml = {}

---Files made on request, for `serve` of HTTP and TFTP servers.
---@class netlab.assets.handler
local handle_assets_handler = {}

---Access to AWS. Its services are fields (ec2, autoscaling, iam, sts, s3, ce, freetier, pricing, budgets, scheduler, ssm, sso, elbv2, elb, logs, resourcegroupstaggingapi), their actions functions in snake_case: client.ec2:describe_vpcs({ … }, { region = "…" }). Pages are joined, throttled requests repeated. client.ec2:wait("instance_running", { instance_ids = { … } }, { deadline = "5m" }) waits for a state.
---@class netlab.aws.client
local handle_aws_client = {}

---Sends an action by name: client:call("ec2", "describe_vpcs", { … }).
---@param service string
---@param action string in snake_case
---@param input? netlab.call.options members in snake_case; filters and tags may be tables of names
---@param options? netlab.call.options
---@return table? answer # the answer's members in snake_case
---@return netlab.error? err # with aws ("DependencyViolation"), status, request_id, and ambiguous: it may have been carried out
function handle_aws_client:call(service, action, input, options) end

---The region that calls go to unless they name another.
---@return string? region
---@return netlab.error? err
function handle_aws_client:region() end

---Files that are fetched: goes into `assets` of a boot service.
---@class netlab.boot.assets
local handle_boot_assets = {}

---A virtual iPXE. Actions: { what = "fetch", url, purpose }, "sleep", "boot" { kernel, cmdline, initrds }, "exit" { code }, "failed" { url, line, why }.
---@class netlab.boot.ipxe
local handle_boot_ipxe = {}

---Begins with the script at a URL.
---@param url string
---@return table action
function handle_boot_ipxe:start(url) end

---Answers a fetch.
---@param content string all of a script; the beginning of anything else is enough
---@param size? number of the whole
---@return table action
function handle_boot_ipxe:fetched(content, size) end

---Answers a fetch that failed.
---@param why string
---@return table action
function handle_boot_ipxe:missing(why) end

---Answers a sleep.
---@return table action
function handle_boot_ipxe:slept() end

---What `echo` printed so far.
---@return string[]
function handle_boot_ipxe:console() end

---The boot files of Raspberry Pis: goes into `raspberry` of a profile.
---@class netlab.boot.raspberry
local handle_boot_raspberry = {}

---A boot service: goes into `serve` of HTTP and TFTP servers and into `boot` of a DHCP server.
---@class netlab.boot.service
local handle_boot_service = {}

---The node's next boot takes another profile; forgotten after a while.
---@param node string its name
---@param profile string
---@param within? duration 1h unless given
---@return boolean? ok
---@return netlab.error? err
function handle_boot_service:boot_once(node, profile, within) end

---What machines boot by a function of the recipe, for boot.service's `sources`.
---@class netlab.boot.source
local handle_boot_source = {}

---A proxyDHCP server.
---@class netlab.dhcp.proxy
local handle_dhcp_proxy = {}

---A DHCP server.
---@class netlab.dhcp.server
local handle_dhcp_server = {}

---The leases that run now, by address.
---@return netlab.lease[]
function handle_dhcp_server:leases() end

---Takes an address from its holder.
---@param ip string
---@return boolean? ok
---@return netlab.error? err
function handle_dhcp_server:drop_lease(ip) end

---Names that the recipe sets and removes while it runs.
---@class netlab.dns.names
local handle_dns_names = {}

---Gives a name its records, instead of those it had: an address, a list of them, or { a, aaaa, cname, txt, srv, mx, ptr, caa, ns, ttl }. A name of the recipe's own records is not taken over.
---@param name string without a dot: in the server's domain
---@param records any
---@return boolean? ok
---@return netlab.error? err # "conflict" when the recipe holds the name
function handle_dns_names:set(name, records) end

---Takes a name away.
---@param name string
---@return boolean known # whether it was there
function handle_dns_names:remove(name) end

---The names that are set.
---@return string[]
function handle_dns_names:list() end

---What was read of a Pi-hole's folder.
---@class netlab.dns.pihole
local handle_dns_pihole = {}

---A DNS server.
---@class netlab.dns.server
local handle_dns_server = {}

---Forgets every answer that it keeps; what it is asked next goes to the upstreams again.
function handle_dns_server:flush() end

---A folder under a path prefix, for http.server's `serve`.
---@class netlab.http.files
local handle_http_files = {}

---What netlab counts, for Prometheus, under a path; for http.server's `serve`.
---@class netlab.http.metrics
local handle_http_metrics = {}

---A recipe's handler under a path prefix, for http.server's `serve`.
---@class netlab.http.route
local handle_http_route = {}

---An HTTP server.
---@class netlab.http.server
local handle_http_server = {}

---A network, as netlab.network returns it.
---@class netlab.network
---@field ip string Our address.
---@field address string Our address with the prefix length.
---@field interface string The interface's name, empty when none was given.
---@field domain string The clients' domain, empty when none was given.
---@field router string? The clients' router, or nil.
---@field platform string "ec2" in a VPC, else "metal".
---@field name string How messages and commands call it.
local handle_network = {}

---A place to listen: our address on this network with that port.
---@param port integer 1 … 65535
---@return listen
function handle_network:at(port) end

---Whether an address belongs to its client networks.
---@param ip string
---@return boolean
function handle_network:contains(ip) end

---The nodes of one netlab.nodes table.
---@class netlab.nodes
---@field count integer How many are declared.
local handle_nodes = {}

---The declared node of that name, or nil.
---@param name string
---@return netlab.node?
function handle_nodes:find(name) end

---A list of the declared nodes, in the recipe's order.
---@return netlab.node[]
function handle_nodes:all() end

---For a loop over the declared nodes: for node in nodes:each() do … end.
---@return fun(): netlab.node?
function handle_nodes:each() end

---Every node known now, declared first, then those met on the wire.
---@return netlab.node[]
function handle_nodes:known() end

---A pull-through cache of registries.
---@class netlab.registry.proxy
local handle_registry_proxy = {}

---A Talos image of an Image Factory: goes into `profiles` of a boot service.
---@class netlab.talos.profile
local handle_talos_profile = {}

---A running task, as netlab.spawn and netlab.every return it.
---@class netlab.task
local handle_task = {}

---Waits for its end and returns what its function returned; nil, err when it raised, was cancelled, or the deadline passed.
---@param deadline? string such as "10s"
---@return any
function handle_task:wait(deadline) end

---Ends it: the wait it is in raises, and its own tasks are cancelled with it.
function handle_task:cancel() end

---Whether it has ended.
---@return boolean
function handle_task:done() end

---A TFTP server.
---@class netlab.tftp.server
local handle_tftp_server = {}

---@class netlab.aws.client.options
---@field region? string by default AWS_REGION, or that of the profile
---@field profile? string a profile of ~/.aws/config and ~/.aws/credentials; by default AWS_PROFILE, and keys in the environment go first
---@field endpoint? string the address of every service; by default AWS_ENDPOINT_URL_<SERVICE>, AWS_ENDPOINT_URL, or AWS' own
---@field mfa_code? string for a profile with role_arn and mfa_serial
---@field credentials? function returns { access_key, secret_key, session_token }; asked once, at the first call
---@field attempts? integer of one request, the first included (default 10)
---@field backoff? string the first pause before a repeat is up to this; later ones double (default "100ms")
---@field timeout? string of one attempt (default "30s")
---@field ca_file? string certificates to trust instead of the system's
---@field name? string how messages, metrics and commands call it; by default made from what it is

---Access to AWS: every action of its services as a function, tables in and out.
---@param options netlab.aws.client.options
---@return netlab.aws.client
function netlab.aws.client(options) end

---@class netlab.boot.assets.options.files
---@field url string http://…, https://…, or oci://registry/repository:tag#file for a file of an artifact in a registry (oci+http:// without TLS) (required)
---@field sha256? string the checksum that it must have, 64 digits
---@field sha512? string the same with 128 digits
---@field checksums? string a list of checksums that names it, as sha256sum and sha512sum write it
---@field arch? "amd64"|"arm64"|"i386"|"arm"|"riscv64" of an OCI image that is made for several processors

---@class netlab.boot.assets.options.credentials
---@field username string the account (required)
---@field password_file string a file that holds the password or token alone (required)

---@class netlab.boot.assets.options
---@field name? string how messages and commands call it
---@field folder? string the assets folder, in the state folder (default "assets")
---@field files table<string, string|netlab.boot.assets.options.files> asset names to the URLs that they come from (required)
---@field concurrency? integer transfers at a time (default 4)
---@field refresh? string how often a file without a checksum in the recipe is compared with its source (default "24h")
---@field retry? string the pause after a failure; it doubles up to 15 minutes (default "5s")
---@field stall? string a transfer without a byte for this long is begun again (default "30s")
---@field keep_free? string how much of the disk is left to leases and others (default "64MiB")
---@field verify? boolean check the sources' certificates (default true)
---@field ca_file? string certificates to trust instead of the system's
---@field credentials? table<string, netlab.boot.assets.options.credentials> accounts by host, such as "ghcr.io"

---Files of the assets folder that are fetched from elsewhere, checked, and served from the copy here.
---@param options netlab.boot.assets.options
---@return netlab.boot.assets
function netlab.boot.assets(options) end

---@class netlab.boot.raspberry.options
---@field name? string how messages call it
---@field firmware? string folder of the Pi's own boot files (bootcode.bin, start4.elf, fixup4.dat, device trees, overlays): in the assets, or absolute. A config.txt there stays in force, and <serial>/… there goes first (default "raspberry-pi")
---@field kernel? string what these files start, an asset or absolute path: a Linux kernel, or U-Boot's u-boot.bin, which asks DHCP again and gets the profile's arm64 files
---@field uefi? string instead of `kernel`, UEFI firmware (RPI_EFI.fd): it asks DHCP again as any arm64 UEFI machine does
---@field initrd? string[] the kernel's initrds, in order
---@field args? string[] cmdline.txt; {{name}} is filled in by netlab
---@field config? string[] further lines of config.txt, such as "dtoverlay=disable-bt"

---What the boot loader of a Raspberry Pi 3, CM3, 4, CM4 or 5 loads over TFTP: the `raspberry` of a profile. config.txt and cmdline.txt are made for each node.
---@param options netlab.boot.raspberry.options
---@return netlab.boot.raspberry
function netlab.boot.raspberry(options) end

---@class netlab.boot.service.options.profiles.amd64
---@field kernel? string the kernel: an asset's name, an absolute path or a URL
---@field initrd? string[] the initrds, in order
---@field args? string[] kernel arguments; {{name}} is filled in by netlab, ${name} by iPXE or Talos
---@field uki? string a unified kernel image instead of kernel and initrd
---@field cmdline? string a file whose text is kernel arguments, in front of args

---@class netlab.boot.service.options.profiles.arm64
---@field kernel? string the kernel: an asset's name, an absolute path or a URL
---@field initrd? string[] the initrds, in order
---@field args? string[] kernel arguments; {{name}} is filled in by netlab, ${name} by iPXE or Talos
---@field uki? string a unified kernel image instead of kernel and initrd
---@field cmdline? string a file whose text is kernel arguments, in front of args

---@class netlab.boot.service.options.profiles.i386
---@field kernel? string the kernel: an asset's name, an absolute path or a URL
---@field initrd? string[] the initrds, in order
---@field args? string[] kernel arguments; {{name}} is filled in by netlab, ${name} by iPXE or Talos
---@field uki? string a unified kernel image instead of kernel and initrd
---@field cmdline? string a file whose text is kernel arguments, in front of args

---@class netlab.boot.service.options.profiles.arm
---@field kernel? string the kernel: an asset's name, an absolute path or a URL
---@field initrd? string[] the initrds, in order
---@field args? string[] kernel arguments; {{name}} is filled in by netlab, ${name} by iPXE or Talos
---@field uki? string a unified kernel image instead of kernel and initrd
---@field cmdline? string a file whose text is kernel arguments, in front of args

---@class netlab.boot.service.options.profiles.riscv64
---@field kernel? string the kernel: an asset's name, an absolute path or a URL
---@field initrd? string[] the initrds, in order
---@field args? string[] kernel arguments; {{name}} is filled in by netlab, ${name} by iPXE or Talos
---@field uki? string a unified kernel image instead of kernel and initrd
---@field cmdline? string a file whose text is kernel arguments, in front of args

---@class netlab.boot.service.options.profiles
---@field kernel? string the kernel: an asset's name, an absolute path or a URL
---@field initrd? string[] the initrds, in order
---@field args? string[] kernel arguments; {{name}} is filled in by netlab, ${name} by iPXE or Talos
---@field uki? string a unified kernel image instead of kernel and initrd
---@field cmdline? string a file whose text is kernel arguments, in front of args
---@field amd64? netlab.boot.service.options.profiles.amd64 what differs on amd64
---@field arm64? netlab.boot.service.options.profiles.arm64 what differs on arm64
---@field i386? netlab.boot.service.options.profiles.i386 what differs on i386
---@field arm? netlab.boot.service.options.profiles.arm what differs on arm
---@field riscv64? netlab.boot.service.options.profiles.riscv64 what differs on riscv64
---@field loader? "auto"|"ipxe"|"grub"|"shim" what UEFI machines start first: iPXE or, where there is none, one EFI program (auto); netlab's iPXE even where the card has its own (ipxe); GRUB (grub); shim and then a signed GRUB or the signed uki, for Secure Boot (shim) (default "auto")
---@field config? string|function the machine config, at /config: a file beside the recipe, or a function that returns its name, { text = "…" }, or nil and why
---@field generic? string|function the document at /generic: a file beside the recipe, or a function that returns its name, { text = "…" }, or nil and why
---@field ignition? string|function the document at /ignition: a file beside the recipe, or a function that returns its name, { text = "…" }, or nil and why
---@field cloud? string|function the document at /cloud: a file beside the recipe, or a function that returns its name, { text = "…" }, or nil and why
---@field raspberry? netlab.boot.raspberry what the boot loader of Raspberry Pis gets, which is neither BIOS nor UEFI

---@class netlab.boot.service.options.groups
---@field name? string for messages
---@field match? table<string, string|string[]>|function who: a table of mac, uuid, serial, arch, name, role, firmware, ip, hostname (of its lease), manufacturer, product, instance_id, tag, a label or a query parameter, where * and ? are wildcards and a list means any of it; or a function that gets the machine and says whether it belongs here
---@field profile string what these machines boot (required)
---@field metadata? any for templates and /metadata

---@class netlab.boot.service.options
---@field name? string how messages and commands call it
---@field nodes? netlab.nodes the lab's machines; every netlab.nodes counts, this one documents it
---@field assets? string|netlab.boot.assets the folder of kernels and initrds, in the state folder, or the netlab.boot.assets that fill it (default "assets")
---@field fetch? boolean fetch the URLs of profiles once and serve the copy; false: machines get the URLs (default true)
---@field profiles? table<string, netlab.boot.service.options.profiles|netlab.talos.profile> what can be booted, by name
---@field sources? netlab.boot.source[] plugins' handles and netlab.boot.source, asked in this order before the profiles: the first that answers wins
---@field groups? netlab.boot.service.options.groups[] who boots what: a function that says yes wins, then most selectors, then the recipe's order; no match is the default
---@field url? string the address of this service for clients; by default the one that each client asked
---@field ipxe? table<string, string> iPXE programs by what runs them (bios, amd64, arm64 …) instead of Debian's
---@field grub? table<string, string> GRUB's netboot images by processor (amd64, arm64, i386 …) instead of Debian's
---@field shim? table<string, string> signed shims by processor instead of Debian's
---@field stub? table<string, string> systemd's EFI stubs by processor (amd64, arm64), for images assembled from kernel and initrd
---@field cache_size? string how much assembled images may take in the state folder (default "2GiB")

---What machines boot: profiles say what, groups say who. Served by HTTP and TFTP servers, asked by DHCP.
---@param options netlab.boot.service.options
---@return netlab.boot.service
function netlab.boot.service(options) end

---@class netlab.dhcp.proxy.options.hosts
---@field name? string for messages
---@field mac? string|string[] its network card, or a list
---@field uuid? string its SMBIOS UUID
---@field serial? string its serial number
---@field option43 string for this machine: see above (required)

---@class netlab.dhcp.proxy.options
---@field name? string how messages and commands call it
---@field network netlab.network the network that the other server serves (required)
---@field boot netlab.boot.service what network boot clients are told (required)
---@field nodes? netlab.nodes the lab's machines; every netlab.nodes counts, this one documents it
---@field option43? string option 43 to PXE firmware: "auto" (BIOS gets discovery control 8, UEFI none and asks port 4011), "control" (discovery control 8 for all), "omit", or its bytes as hex digits (default "auto")
---@field hosts? netlab.dhcp.proxy.options.hosts[] machines whose firmware wants another option 43
---@field listen? string answer unicast on this address only, for tests
---@field port? integer for tests (default 67)
---@field proxy_port? integer for tests (default 4011)

---Boot options beside another DHCP server (proxyDHCP): answers boot firmware on ports 67 and 4011, and never gives an address.
---@param options netlab.dhcp.proxy.options
---@return netlab.dhcp.proxy
function netlab.dhcp.proxy(options) end

---@class netlab.dhcp.server.options.routes
---@field to string the destination (required)
---@field via string the gateway (required)

---@class netlab.dhcp.server.options.options
---@field code integer the option's number (required)
---@field text? string its value as text
---@field hex? string its value as hex digits
---@field ip? string|string[] its value as addresses
---@field u8? integer its value as one byte
---@field u16? integer its value as two bytes
---@field u32? integer its value as four bytes
---@field always? boolean send it even when the client does not ask for it (default true)

---@class netlab.dhcp.server.options.hosts.routes
---@field to string the destination (required)
---@field via string the gateway (required)

---@class netlab.dhcp.server.options.hosts.options
---@field code integer the option's number (required)
---@field text? string its value as text
---@field hex? string its value as hex digits
---@field ip? string|string[] its value as addresses
---@field u8? integer its value as one byte
---@field u16? integer its value as two bytes
---@field u32? integer its value as four bytes
---@field always? boolean send it even when the client does not ask for it (default true)

---@class netlab.dhcp.server.options.hosts
---@field name? string its host name
---@field mac? string|string[] its network card, or a list
---@field client_id? string option 61 as hex digits, type byte included
---@field uuid? string its SMBIOS UUID
---@field serial? string its serial number
---@field ip? string its address
---@field lease? string instead of the server's
---@field router? string|string[] option 3; by default the network's router
---@field dns? string|string[] option 6
---@field ntp? string|string[] option 42
---@field domain? string option 15; by default the network's domain
---@field search? string[] option 119: domains to search
---@field mtu? integer option 26
---@field routes? netlab.dhcp.server.options.hosts.routes[] option 121: static routes
---@field options? netlab.dhcp.server.options.hosts.options[] further options by number

---@class netlab.dhcp.server.options.classes.routes
---@field to string the destination (required)
---@field via string the gateway (required)

---@class netlab.dhcp.server.options.classes.options
---@field code integer the option's number (required)
---@field text? string its value as text
---@field hex? string its value as hex digits
---@field ip? string|string[] its value as addresses
---@field u8? integer its value as one byte
---@field u16? integer its value as two bytes
---@field u32? integer its value as four bytes
---@field always? boolean send it even when the client does not ask for it (default true)

---@class netlab.dhcp.server.options.classes
---@field name string for messages (required)
---@field vendor_class? string option 60; * and ? are wildcards
---@field user_class? string option 77; * and ? are wildcards
---@field mac? string such as "b8:27:eb:*"
---@field architectures? integer[] option 93, any of these
---@field lease? string instead of the server's
---@field router? string|string[] option 3; by default the network's router
---@field dns? string|string[] option 6
---@field ntp? string|string[] option 42
---@field domain? string option 15; by default the network's domain
---@field search? string[] option 119: domains to search
---@field mtu? integer option 26
---@field routes? netlab.dhcp.server.options.classes.routes[] option 121: static routes
---@field options? netlab.dhcp.server.options.classes.options[] further options by number

---@class netlab.dhcp.server.options.relayed.routes
---@field to string the destination (required)
---@field via string the gateway (required)

---@class netlab.dhcp.server.options.relayed.options
---@field code integer the option's number (required)
---@field text? string its value as text
---@field hex? string its value as hex digits
---@field ip? string|string[] its value as addresses
---@field u8? integer its value as one byte
---@field u16? integer its value as two bytes
---@field u32? integer its value as four bytes
---@field always? boolean send it even when the client does not ask for it (default true)

---@class netlab.dhcp.server.options.relayed
---@field subnet string the clients' network behind a relay (required)
---@field range? string|string[] addresses to give out
---@field lease? string instead of the server's
---@field router? string|string[] option 3; by default the network's router
---@field dns? string|string[] option 6
---@field ntp? string|string[] option 42
---@field domain? string option 15; by default the network's domain
---@field search? string[] option 119: domains to search
---@field mtu? integer option 26
---@field routes? netlab.dhcp.server.options.relayed.routes[] option 121: static routes
---@field options? netlab.dhcp.server.options.relayed.options[] further options by number

---@class netlab.dhcp.server.options.import
---@field dnsmasq? string a dnsmasq.leases file
---@field dnsmasq_hosts? string a file of dhcp-host lines
---@field pihole? string Pi-hole's folder, /etc/pihole, of version 5 or 6
---@field kea? string Kea's kea-leases4.csv
---@field isc? string ISC's dhcpd.leases

---@class netlab.dhcp.server.options
---@field name? string how messages and commands call it
---@field network netlab.network the network it serves (required)
---@field mode? "server"|"auto" "auto" looks at the network first and now and then: it gives addresses only while no other server does, and is a proxy (dhcp.proxy) beside one (default "server")
---@field range? string|string[] addresses to give out; without it only reserved ones
---@field exclude? (string|string)[] addresses of the range to leave alone
---@field lease? string how long an address is given for; "infinite" for ever (default "12h")
---@field lease_min? string the shortest a client may ask for; 2m, or `lease` when that is shorter
---@field lease_max? string the longest a client may ask for; 7d, or `lease` when that is longer
---@field router? string|string[] option 3; by default the network's router
---@field dns? string|string[] option 6
---@field ntp? string|string[] option 42
---@field domain? string option 15; by default the network's domain
---@field search? string[] option 119: domains to search
---@field mtu? integer option 26
---@field routes? netlab.dhcp.server.options.routes[] option 121: static routes
---@field options? netlab.dhcp.server.options.options[] further options by number
---@field nodes? netlab.nodes the lab's machines get their reserved addresses and names; every netlab.nodes counts
---@field hosts? netlab.dhcp.server.options.hosts[] further fixed hosts, with options of their own
---@field classes? netlab.dhcp.server.options.classes[] clients that are alike, and what they are told
---@field relayed? netlab.dhcp.server.options.relayed[] networks that reach us through a DHCP relay
---@field boot? netlab.boot.service what network boot clients are told
---@field authoritative? boolean refuse addresses of other networks at once (DHCPNAK) (default true)
---@field known_clients_only? boolean addresses for nodes and hosts only (default false)
---@field conflict_probe? boolean ask by ARP whether an address is free before it is first offered (default true)
---@field rapid_commit? boolean two messages instead of four, RFC 4039 (default false)
---@field bootp? boolean answer BOOTP clients (default false)
---@field import? netlab.dhcp.server.options.import leases and reservations of the server that ran here before, so that no address is given twice
---@field on_lease? function runs after a lease was stored or renewed
---@field on_lease_end? function runs after a lease ended
---@field listen? string answer unicast on this address only instead of on the network's interface: behind relays, and for tests
---@field port? integer for tests (default 67)

---A DHCP server with durable leases: an address is acknowledged after its lease is on disk.
---@param options netlab.dhcp.server.options
---@return netlab.dhcp.server
function netlab.dhcp.server(options) end

---@class netlab.dns.names.options
---@field name? string how messages and commands call it
---@field ttl? string of its records, unless they say otherwise (default "60s")

---Names that the recipe sets and removes while it runs, for the DNS servers that are given them.
---@param options netlab.dns.names.options
---@return netlab.dns.names
function netlab.dns.names(options) end

---@class netlab.dns.pihole.options
---@field name? string how messages and commands call it
---@field path? string its folder, with gravity.db; it is only read (default "/etc/pihole")

---What a Pi-hole does, version 5 or 6, for a dns.server: its lists, domains, groups, clients and records.
---@param options netlab.dns.pihole.options
---@return netlab.dns.pihole
function netlab.dns.pihole(options) end

---@class netlab.dns.server.options.records
---@field a? string|string[] an IPv4 address, or a list
---@field aaaa? string|string[] an IPv6 address, or a list
---@field cname? string|string[] the name that it is another name for
---@field txt? string|string[] a text, or a list; quotation marks inside cut it into strings
---@field srv? string|string[] "priority weight port name", or a list
---@field mx? string|string[] "preference name", or a list
---@field ptr? string|string[] the name that an address of in-addr.arpa or ip6.arpa leads to
---@field caa? string|string[] "flags tag value", or a list
---@field ns? string|string[] a name server's name, or a list
---@field https? string|string[] "priority name key=value …", or a list
---@field svcb? string|string[] "priority name key=value …", or a list
---@field naptr? string|string[] "order preference flags service regexp replacement", or a list
---@field sshfp? string|string[] "algorithm type fingerprint", or a list
---@field tlsa? string|string[] "usage selector matching data", or a list
---@field uri? string|string[] "priority weight target", or a list
---@field ds? string|string[] "tag algorithm digest-type digest", or a list
---@field other? table<string, string|string[]> records of any other type, by its name or number: { TYPE65280 = "\\# 4 0a000001" }, with their data as RFC 3597 writes it
---@field ttl? string instead of the server's
---@field ptr_back? boolean whether its addresses lead back to it (default true)

---@class netlab.dns.server.options.cache
---@field size? string memory, of each worker (default "4MiB")
---@field save? boolean keep answers in the state folder over restarts (default true)

---@class netlab.dns.server.options.tls
---@field certificate string its chain, PEM (required)
---@field key string its key, PEM (required)
---@field listen string|netlab.listen|(string|netlab.listen)[] where, usually port 853 (required)

---@class netlab.dns.server.options.dnssec
---@field anchors? table<string, string|string[]> keys that are trusted, by zone, instead of the root's: the data of DS or DNSKEY records, { ["corp.example"] = "12345 13 2 49fd…" }; with "." left out, only what lies below these is validated
---@field negative? string[] zones whose broken signatures are not looked at

---@class netlab.dns.server.options.blocklists
---@field name? string how groups and statistics call it
---@field url? string where it is downloaded from
---@field path? string its file; read again when it changes
---@field rules? string[] its lines, in the recipe
---@field subdomains? boolean plain names count for everything below them as well (default false)
---@field refresh? string instead of `lists_refresh`

---@class netlab.dns.server.options.allowlists
---@field name? string how groups and statistics call it
---@field url? string where it is downloaded from
---@field path? string its file; read again when it changes
---@field rules? string[] its lines, in the recipe
---@field subdomains? boolean plain names count for everything below them as well (default false)
---@field refresh? string instead of `lists_refresh`

---@class netlab.dns.server.options.groups.schedule
---@field days? string "mon-fri", "sat,sun" (default "daily")
---@field from? string by the clock of the machine that netlab runs on, in `time_zone` (default "00:00")
---@field to? string before `from`: the next day (default "24:00")
---@field lists string[] the lists that count then (required)

---@class netlab.dns.server.options.groups
---@field clients? string[] addresses, networks, MAC addresses, and names of nodes and leases
---@field lists? string[] names of the lists that count; all unless given
---@field safe_search? "off"|"moderate"|"strict" instead of the server's
---@field schedule? netlab.dns.server.options.groups.schedule[] other lists at some hours; the first entry that holds counts

---@class netlab.dns.server.options.log
---@field retention? string how long queries are kept (default "30d")
---@field max_size? string how much of the disk they may take (default "64MiB")
---@field privacy? "all"|"hide_domains"|"hide_clients"|"anonymous" what of a query is kept: everything, not the name, neither name nor client, or no rows at all but only how many (default "all")

---@class netlab.dns.server.options
---@field name? string how messages and commands call it
---@field listen string|netlab.listen|(string|netlab.listen)[] where, by UDP and TCP: "addr:port", lan:at(port), or a list of them (required)
---@field upstreams string|string[] who is asked: "1.1.1.1", "tcp://1.1.1.1", "tls://1.1.1.1#one.one.one.one", "https://dns.google/dns-query"; plain and encrypted ones do not mix (required)
---@field bootstrap? string|string[] plain resolvers that find the addresses of upstreams which are given by name
---@field ca_file? string certificates that upstreams may show, instead of the system's
---@field forward? table<string, string|string[]> upstreams of their own for domains and, by network, for reverse zones: { ["eu-west-1.compute.internal"] = "10.20.0.2", ["10.20.0.0/16"] = "10.20.0.2" }
---@field domain? string ours: never forwarded, and added to bare names; the network's domain unless given
---@field records? table<string, string|string[]|netlab.dns.server.options.records> names of the recipe: an address, a list of them, or { a, aaaa, cname, txt, srv, mx, ptr, caa, ns, https, svcb, naptr, sshfp, tlsa, uri, ds, other, ttl }; a name without a dot lies in the domain, "*.apps.lab.internal" is a wildcard
---@field hosts? string|string[] hosts files, read again when they change
---@field zones? table<string, string> zones that are answered from master files (RFC 1035 §5), read again when they change: { ["example.org"] = "example.org.zone" }
---@field names? netlab.dns.names|netlab.dns.names[] names that the recipe sets while it runs; its `records`, files and reservations come first, leases after them
---@field nodes? netlab.nodes|netlab.nodes[] machines whose names lead to their reserved addresses
---@field leases? netlab.dhcp.server|netlab.dhcp.server[] DHCP servers whose clients get names for as long as they hold a lease
---@field ttl? string of our own records, unless they say otherwise (default "5m")
---@field workers? integer threads that answer, each with a cache of its own (default 1)
---@field cache? string|netlab.dns.server.options.cache memory for answers, of each worker; { save = true } keeps them over restarts as well (default "4MiB")
---@field min_ttl? string the least time that an answer is kept (default "0s")
---@field max_ttl? string the longest time that an answer is kept (default "24h")
---@field max_negative_ttl? string the same for "no such name" (default "1h")
---@field stale? string how long after its time an answer may be given when no upstream answers (RFC 8767); "0s": never (default "24h")
---@field prefetch? boolean renew popular answers before their time is over (default true)
---@field udp_size? integer the largest answer by UDP; a larger one goes by TCP (default 1232)
---@field clients? (string|string)[] who may ask; everybody else is refused, so that nobody abuses an open resolver (default ["127.0.0.0/8","10.0.0.0/8","172.16.0.0/12","192.168.0.0/16","169.254.0.0/16","100.64.0.0/10","::1/128","fc00::/7","fe80::/10"])
---@field rate_limit? number queries a second that one client may send; no limit unless given
---@field rate_burst? number queries that it may send at once after a rest; ten seconds' worth
---@field special_domains? boolean tell browsers and phones not to go around this resolver (use-application-dns.net, mask.icloud.com, resolver.arpa) (default true)
---@field rebind_protection? boolean leave private addresses out of what `upstreams` answer (default false)
---@field rebind_allow? string|string[] domains that may lead to private addresses
---@field tls? netlab.dns.server.options.tls DNS over TLS for clients
---@field dnssec? boolean|netlab.dns.server.options.dnssec validate what upstreams answer, by the root zone's keys: what is forged or broken is SERVFAIL, what is proven has the AD bit; names of our own and forwarded zones without an anchor are left alone
---@field blocklists? (string|string|netlab.dns.server.options.blocklists)[] names that are not answered: URLs and files of hosts, plain names, "*.name", "||name^" with "@@" and regular expressions, or { url | path | rules, name, subdomains, refresh }
---@field allowlists? (string|string|netlab.dns.server.options.allowlists)[] exceptions from every block list, in the same formats
---@field lists_refresh? string how often the lists of URLs are asked for again (default "24h")
---@field blocking? "null"|"nxdomain"|"nodata"|"refused"|string|string[] what a blocked name is answered with: 0.0.0.0 and ::, an error, nothing, or an address (default "null")
---@field blocking_ttl? string how long clients keep such an answer (default "2s")
---@field groups? table<string, netlab.dns.server.options.groups> whose lists count for whom; "everybody" is who is in no group
---@field time_zone? string of the hours of schedules: "Europe/Prague"; the machine's own when left out
---@field safe_search? "off"|"moderate"|"strict" search engines and video sites leave adult content out: Google, Bing, DuckDuckGo, YouTube and others; "moderate" differs for YouTube (default "off")
---@field pihole? netlab.dns.pihole a Pi-hole whose lists, domains, groups, clients and local records count as well
---@field log? boolean|netlab.dns.server.options.log the query log, for netlab dns top, tail and why; kept in the state folder, and off without one (default true)
---@field on_query? function asked before anything else about every query, { name, type, client, transport, node? }: returns nil to pass it on, an address or list of them, "refuse", "nxdomain", "nodata", or { a, aaaa, cname, txt, srv, mx, ptr, caa, ns, ttl, rcode, rewrite = name, delay }; without it no query waits for Lua
---@field on_query_timeout? string how long a query waits for it (default "500ms")
---@field on_query_default? "pass"|"refuse" what counts when it does not answer in time, fails, or too many wait (default "pass")

---The network's resolver: it knows the lab's names, keeps answers, and asks upstreams for the rest.
---@param options netlab.dns.server.options
---@return netlab.dns.server
function netlab.dns.server(options) end

---@class netlab.http.server.options.tls
---@field certificate string certificate chain, PEM (required)
---@field key string private key, PEM (required)

---@class netlab.http.server.options
---@field name? string how messages and commands call it
---@field listen string|netlab.listen|(string|netlab.listen)[] where: "addr:port", lan:at(port), or a list of them (required)
---@field serve (netlab.asset.source|netlab.http.entry)[] what: boot services, netlab.http.files, netlab.http.route, netlab.http.metrics, netlab.assets.handler, and DNS servers (DNS over HTTPS, at /dns-query) (required)
---@field tls? netlab.http.server.options.tls serve HTTPS with this certificate
---@field header_limit? string request line and headers (default "16KiB")
---@field body_limit? string of a request, for handlers (default "1MiB")
---@field header_time? string from a header's first byte to its end (default "10s")
---@field idle_time? string between two requests of a connection (default "60s")
---@field connections? integer at a time, of each worker (default 4096)
---@field connections_per_client? integer at a time, by address, of each worker (default 256)
---@field workers? integer threads that serve; the kernel deals new connections out (default 1)

---An HTTP server for boot services, folders and handlers of the recipe.
---@param options netlab.http.server.options
---@return netlab.http.server
function netlab.http.server(options) end

---@class netlab.network.options
---@field interface? string the interface that leads to it, such as "eth0"
---@field address? string our address with the prefix length; by default the interface's first IPv4 address
---@field router? string the clients' way out; offered by DHCP
---@field domain? string the clients' domain, such as "lab.internal"
---@field platform? "auto"|"ec2"|"metal" what carries it: in a VPC of EC2, DHCP and TFTP stay off, because there is no broadcast and Amazon's own DHCP; "auto" looks at this machine's firmware tables and the interface (default "auto")
---@field networks? string[] further client networks that reach us through a router or DHCP relay
---@field name? string how messages, metrics and commands call it; by default made from what it is

---A network that services are for, and this machine's address on it.
---@param options netlab.network.options
---@return netlab.network
function netlab.network(options) end

---@class netlab.nodes.options
---@field name string the node's name, also its host name (required)
---@field mac? string|string[] its network card, or a list of them
---@field uuid? string its SMBIOS UUID, as firmware and iPXE send it
---@field serial? string its serial number
---@field ip? string the address reserved for it
---@field role? string what it is, such as "controlplane"; for matching and templates
---@field labels? table<string, string> whatever else tells nodes apart; for matching and templates

---The lab's machines, one table each: one place for who is who, shared by DHCP, boot and DNS.
---@param options netlab.nodes.options[]
---@return netlab.nodes
function netlab.nodes(options) end

---@class netlab.registry.proxy.options.cache
---@field path? string a folder; relative to the state folder (default "registry")
---@field max_size? string what was used longest ago goes first (default "20GiB")
---@field keep_free? string of the disk, left to others (default "64MiB")

---@class netlab.registry.proxy.options.upstreams.credentials
---@field username? string with password_file or password_env
---@field password_file? string a file that holds the password or token alone
---@field password_env? string the environment variable that holds it
---@field docker_config? string instead of these: a Docker config file that knows the registry

---@class netlab.registry.proxy.options.upstreams
---@field url? string of its API; by default https:// and its name
---@field listen? string|netlab.listen|(string|netlab.listen)[] a port of its own: "addr:port", lan:at(port), or a list of them
---@field credentials? netlab.registry.proxy.options.upstreams.credentials for repositories or limits that need them
---@field tags? string for how long a tag is believed before the upstream is asked whether it has changed (default "10m")
---@field latest? string the same for the tag latest; by default a minute, or `tags`
---@field mirrors? string[] URLs that are asked before `url`, in order
---@field ca? string certificates, PEM, trusted instead of the system's
---@field verify? boolean check its certificate (default true)
---@field import? string the storage folder of a registry:2 that cached it, read as a warm cache

---@class netlab.registry.proxy.options.tls
---@field certificate string certificate chain, PEM (required)
---@field key string private key, PEM (required)

---@class netlab.registry.proxy.options.prefetch
---@field images? string[] by name
---@field files? string[] lists of images, as `talosctl image default` prints one, or Kubernetes manifests
---@field platforms? string[] of images for several: "linux/arm64"; by default all of them

---@class netlab.registry.proxy.options
---@field name? string how messages and commands call it
---@field cache? netlab.registry.proxy.options.cache where content is kept, and how much of it
---@field upstreams? table<string, netlab.registry.proxy.options.upstreams> registries, by the name that images have in front
---@field listen? string|netlab.listen|(string|netlab.listen)[] a port for all of them, which tells them apart by ?ns= or /v2/<registry>/…
---@field allow? string[] further registries that may be asked for on that port, by name; * and ? match
---@field hosted? string opens a registry of this name on the port for all, which takes pushes and keeps them
---@field tls? netlab.registry.proxy.options.tls serve HTTPS with this certificate
---@field prefetch? netlab.registry.proxy.options.prefetch what is fetched when it starts, so that the lab can boot without the registries

---A pull-through cache of container registries: every byte is fetched once, for all nodes, and stays within a size.
---@param options netlab.registry.proxy.options
---@return netlab.registry.proxy
function netlab.registry.proxy(options) end

---@class netlab.talos.profile.options.overlay
---@field name string such as "rpi_generic" (required)
---@field image string such as "siderolabs/sbc-raspberrypi" (required)
---@field options? any the overlay's own

---@class netlab.talos.profile.options
---@field name? string how messages call it
---@field version string the release, such as "v1.11.3" (required)
---@field extensions? string[] system extensions, such as "siderolabs/tailscale"
---@field kernel_args? string[] kernel arguments that the factory puts into the image, beside its own
---@field args? string[] kernel arguments that netlab adds for each machine, {{name}} filled in; by default those that lead to config
---@field config? string|function the machine config, at /config: a file beside the recipe, or a function that returns its name, { text = "…" }, or nil and why
---@field arch? ("amd64"|"arm64")[] the processors to fetch it for (default ["amd64","arm64"])
---@field platform? string Talos' platform, part of the factory's file names (default "metal")
---@field uki? boolean boot the factory's unified image, for UEFI firmware only; what it is told is in kernel_args (default false)
---@field secureboot? boolean the signed unified image, for Secure Boot (default false)
---@field overlay? netlab.talos.profile.options.overlay an overlay for single-board computers
---@field schematic? string the id of a schematic that the factory has, instead of the above
---@field checksums? table<string, string> checksums by the factory's file names: ["kernel-amd64"] = "sha256:…"
---@field factory? string the Image Factory, or a mirror of it (default "https://factory.talos.dev")

---A boot profile for Talos Linux: an Image Factory makes kernel and initramfs with the extensions, netlab fetches them once and serves its copy.
---@param options netlab.talos.profile.options
---@return netlab.talos.profile
function netlab.talos.profile(options) end

---@class netlab.tftp.server.options
---@field name? string how messages and commands call it
---@field listen string|netlab.listen|(string|netlab.listen)[] where: "addr:port", lan:at(port), or a list of them (required)
---@field serve? netlab.asset.source[] boot services and netlab.assets.handler, asked in order
---@field root? string a folder whose files are served; asked after `serve`
---@field single_port? boolean answer from the port that was asked, for firewalls that lose track of a second one (default false)
---@field max_blksize? integer the largest block size granted (default 65464)
---@field max_windowsize? integer the most blocks on their way (RFC 7440) (default 64)
---@field fit_mtu? boolean never let a block be fragmented (default true)
---@field timeout? string before the first retransmission (default "1s")
---@field retries? integer retransmissions without progress before giving up (default 6)
---@field transfers? integer at a time (default 1024)
---@field transfers_per_client? integer at a time, by address (default 64)

---A read-only TFTP server for boot services, files that the recipe makes and a folder.
---@param options netlab.tftp.server.options
---@return netlab.tftp.server
function netlab.tftp.server(options) end

---Declares the recipe's command-line options, in the order of --help, and returns their values. Accepts --name value, --name=value, and --name / --no-name for booleans.
---@param options netlab.option[] { name, type, default, required, help }
---@return table<string, any> values # by name; nil where neither given nor defaulted
function netlab.args(options) end

---@class netlab.assets.handler.options
---@field name? string how messages call it
---@field timeout? string for one answer; the task is cancelled then (default "30s")

---Files that the recipe makes when they are asked for: an entry of `serve` of tftp.server and http.server. function(request) may wait; it returns text, { text, content_type }, { file = "beside the recipe" }, nil when there is no such file (the next of `serve` is asked), or nil and why. request is { protocol = "tftp" or "http", path, query, client, server, head, secure, user_agent }.
---@param handler function
---@param options? netlab.assets.handler.options
---@return assets.handler
function netlab.assets.handler(handler, options) end

---What base64 text holds.
---@param text string
---@return string? text
---@return netlab.error? err
function netlab.base64.decode(text) end

---Base64 with padding (RFC 4648).
---@param text string
---@return string base64
function netlab.base64.encode(text) end

---A virtual iPXE that runs scripts; its methods return the next action.
---@param settings table iPXE's settings: mac, uuid, serial, buildarch, platform, net0/ip …
---@return boot.ipxe
function netlab.boot.ipxe(settings) end

---@class netlab.boot.source.options
---@field name? string how messages call it
---@field timeout? string for one answer; the task is cancelled then (default "30s")

---What machines boot, decided request by request: an element of boot.service's `sources`. function(request) may wait; it returns text, { text | file, content_type, stage, shown }, nil when the next source or the recipe's own profiles shall answer, or nil and why (404; the log and the node's timeline say why). stage is what the answer is to the boot (script, config, kernel, initrd, uki), shown its name in the timeline. request is { path, query = { … }, raw_query, node (the machine, as a group's match function gets it), boot_url, protocol, client, server, head, secure, user_agent }.
---@param fn function
---@param options? netlab.boot.source.options
---@return boot.source
function netlab.boot.source(fn, options) end

---The URL that a Talos node with this command line fetches its config from.
---@param cmdline string
---@param variables? table { mac, uuid, serial, hostname, code }
---@return string? url
---@return netlab.error? err
function netlab.boot.talos_config_url(cmdline, variables) end

---@class netlab.dhcp.probe.options
---@field interface? string ask on this interface, which needs no address (CAP_NET_RAW)
---@field server? string|netlab.listen|(string|netlab.listen)[] or ask this server by unicast: for loopback and relays
---@field kind? "plain"|"pxe"|"http_boot"|"ipxe" whose options to send (default "pxe")
---@field architecture? integer option 93: 0 BIOS, 7 x86-64 UEFI, 11 arm64 UEFI, 16 and 19 UEFI HTTP (default 7)
---@field mac? string the client's; by default the interface's
---@field uuid? string option 97; by default made from the MAC
---@field hostname? string option 12
---@field user_class? string option 77 instead of "iPXE"
---@field broadcast? boolean ask for broadcast replies (default false)
---@field release? boolean give the address back at the end (default false)
---@field timeout? string for the whole exchange (default "10s")

---Asks for an address as a chosen firmware would, and reports every step.
---@param options netlab.dhcp.probe.options
---@return table? report # { lease?, failure?, offers, steps }
---@return netlab.error? err
function netlab.dhcp.probe(options) end

---The HMAC-SHA256 of a text (RFC 2104).
---@param key string
---@param text string
---@param raw? boolean 32 bytes instead of hexadecimal digits
---@return string mac
function netlab.digest.hmac_sha256(key, text, raw) end

---The SHA-256 of a text, in hexadecimal digits.
---@param text string
---@return string hex
function netlab.digest.sha256(text) end

---@class netlab.dns.probe.options
---@field name string the name (required)
---@field type? string the record type (default "A")
---@field server? string|string[] who is asked, as in dns.server's `upstreams`; unless given, the recipe's own DNS server, and without one the system's, which also find the address of a server that is named
---@field ca_file? string certificates that servers may show, instead of the system's
---@field tcp? boolean ask plain servers by TCP (default false)
---@field edns? boolean send an OPT record (default true)
---@field dnssec? boolean ask for DNSSEC's records (DO) (default false)
---@field recursion? boolean ask for recursion (RD) (default true)
---@field retry_by_tcp? boolean ask again by TCP when an answer does not fit (default true)
---@field timeout? string for everything (default "5s")

---Asks one question and reports how the answer came.
---@param options netlab.dns.probe.options
---@return table? report # { rcode, flags, answers, authorities, edns?, extended_error?, server, transport, elapsed, steps, failure? }
---@return netlab.error? err
function netlab.dns.probe(options) end

---@class netlab.dns.resolve.options
---@field server? string|string[] who is asked, as in dns.server's `upstreams`; unless given, the recipe's own DNS server, and without one the system's, which also find the address of a server that is named
---@field ca_file? string certificates that servers may show, instead of the system's
---@field timeout? string for everything (default "5s")

---Asks for the records of a name: those of the type at the end of its CNAMEs, none when it has no such record. A name that does not exist is an error with the code "not_found".
---@param name string
---@param type? string "A" unless given
---@param options? netlab.dns.resolve.options
---@return table[]? records # { name, type, ttl, data } each
---@return netlab.error? err
function netlab.dns.resolve(name, type, options) end

---The addresses that netlab.dns.resolve asks unless it is told.
---@return string[]
function netlab.dns.servers() end

---Whether a value is an error of that code.
---@param err any
---@param code string
---@return boolean
function netlab.err.is(err, code) end

---An error value like those that I/O returns as its second result.
---@param code string "invalid", "not_found", "timeout", …
---@param message string what a human reads
---@param op? string the operation's name
---@return netlab.error err
function netlab.err.new(code, message, op) end

---Runs a function at each period, as long as netlab (at the top level) or the task that asks for it lives. A round that is still running when the next is due makes that one be left out.
---@param period string such as "5m"
---@param fn function
---@return netlab.task? task # nil at the top level
function netlab.every(period, fn) end

---Whether there is a file or folder of that name.
---@param path string relative names start at the recipe's folder
---@return boolean
function netlab.fs.exists(path) end

---Joins parts of a path; an absolute part starts anew, ".." is resolved.
---@param part string
---@param ... string
---@return string path
function netlab.fs.join(part, ...) end

---What a folder holds, sorted by name, as fs.stat tells it.
---@param path string relative names start at the recipe's folder
---@return netlab.file_info[]? files
---@return netlab.error? err
function netlab.fs.list(path) end

---Makes a folder and those above it.
---@param path string relative names start at the recipe's folder
---@return boolean? ok
---@return netlab.error? err
function netlab.fs.mkdir(path) end

---A file's content, at most 64 MiB.
---@param path string relative names start at the recipe's folder
---@return string? content
---@return netlab.error? err
function netlab.fs.read(path) end

---Removes a file or an empty folder.
---@param path string relative names start at the recipe's folder
---@return boolean? ok
---@return netlab.error? err
function netlab.fs.remove(path) end

---A file's { name, folder, size, modified, changed }.
---@param path string relative names start at the recipe's folder
---@return netlab.file_info? info
---@return netlab.error? err
function netlab.fs.stat(path) end

---Writes a file in one step: readers see the old content or the new, never half of it.
---@param path string relative names start at the recipe's folder
---@param content string
---@param options? table { private = true }: readable by the owner only
---@return boolean? ok
---@return netlab.error? err
function netlab.fs.write(path, content, options) end

---@class netlab.http.files.options
---@field listing? boolean show what a folder holds (default false)
---@field follow_outside? boolean serve what links lead to outside the folder (default false)
---@field content_type? string instead of the type guessed from the name

---A folder under a path prefix: an entry of http.server's `serve`.
---@param prefix string such as "/files"
---@param folder string relative to the recipe
---@param options? netlab.http.files.options
---@return http.files
function netlab.http.files(prefix, folder, options) end

---@class netlab.http.get.options
---@field headers? table<string, string> request headers
---@field timeout? string for the whole exchange (default "30s")
---@field connect_timeout? string for the connection alone (default "10s")
---@field redirects? integer followed at most; 0 returns the redirect itself (default 5)
---@field body_limit? string a larger response is an error (default "64MiB")
---@field keep? string keep only this much of the body; all of it is counted and hashed, whatever its size
---@field verify? boolean check the server's certificate (default true)
---@field ca_file? string certificates to trust instead of the system's

---Fetches a URL.
---@param url string
---@param options? netlab.http.get.options
---@return netlab.http_response? response # { status, ok, headers, body, bytes, url, sha256 (with keep) }: any status is a response
---@return netlab.error? err # why there was none
function netlab.http.get(url, options) end

---Counters of every service, its readings (leases, cache, connections …), the boots by the stage they reached and what the process uses, in Prometheus' text format: an entry of http.server's `serve`. docs/metrics.md lists the names.
---@param prefix? string "/metrics" when left out
---@return http.metrics
function netlab.http.metrics(prefix) end

---@class netlab.http.request.options
---@field url string what to ask for (required)
---@field method? string the method (default "GET")
---@field body? string what to send
---@field headers? table<string, string> request headers
---@field timeout? string for the whole exchange (default "30s")
---@field connect_timeout? string for the connection alone (default "10s")
---@field redirects? integer followed at most; 0 returns the redirect itself (default 5)
---@field body_limit? string a larger response is an error (default "64MiB")
---@field keep? string keep only this much of the body; all of it is counted and hashed, whatever its size
---@field verify? boolean check the server's certificate (default true)
---@field ca_file? string certificates to trust instead of the system's

---Sends an HTTP request.
---@param options netlab.http.request.options
---@return netlab.http_response? response # { status, ok, headers, body, bytes, url, sha256 (with keep) }: any status is a response
---@return netlab.error? err # why there was none
function netlab.http.request(options) end

---A handler under a path prefix: function(request) returns a text, status and text, or { status, body | json, content_type, headers }. request is { method, path, query, headers, body, client, secure }.
---@param prefix string such as "/hook"
---@param handler function
---@return http.route
function netlab.http.route(prefix, handler) end

---The value of JSON text; null becomes netlab.null.
---@param text string
---@return any value # nil on failure
---@return netlab.error? err # says line and column
function netlab.json.decode(text) end

---JSON text of plain data. Keys are sorted, so the same data gives the same text; netlab.null is null.
---@param value any nil, booleans, numbers, strings and tables of them
---@param pretty? boolean indented lines instead of one
---@return string text
function netlab.json.encode(value, pretty) end

---Logs a line that is shown with --log-level debug.
---@param text string what happened
---@param fields? table<string, any> what belongs to it: { node = name }
function netlab.log.debug(text, fields) end

---Logs a line about something that went wrong.
---@param text string what happened
---@param fields? table<string, any> what belongs to it: { node = name }
function netlab.log.error(text, fields) end

---Logs a line.
---@param text string what happened
---@param fields? table<string, any> what belongs to it: { node = name }
function netlab.log.info(text, fields) end

---Logs a line about something that may need attention.
---@param text string what happened
---@param fields? table<string, any> what belongs to it: { node = name }
function netlab.log.warn(text, fields) end

---Gives the recipe's work: runs as a task once every service is bound. A number it returns is the exit code; nil, err or false is 1. Without services, netlab ends when it does.
---@param fn fun(): integer?
function netlab.main(fn) end

---Gives an interface an address (CAP_NET_ADMIN).
---@param interface string
---@param address string with the prefix length
---@return boolean? ok
---@return netlab.error? err
function netlab.net.add_address(interface, address) end

---What this machine's interface is like.
---@param name string
---@return table? interface # { name, mac, up, mtu, index, addresses }
---@return netlab.error? err
function netlab.net.interface(name) end

---Takes an address from an interface (CAP_NET_ADMIN).
---@param interface string
---@param address string with the prefix length
---@return boolean? ok
---@return netlab.error? err
function netlab.net.remove_address(interface, address) end

---The constructors of a plugin: netlab.plugin("matchbox").folder { … }. They behave like netlab's own.
---@param name string
---@return table<string, fun(options: table): table> constructors
function netlab.plugin(name) end

---@class netlab.process.run.options
---@field argv string[] program and arguments; no shell reads them (required)
---@field input? string what it reads on its standard input
---@field timeout? string after this time it is killed with all its children (default "5m")
---@field env? table<string, string> variables added to netlab's own
---@field folder? string where it runs; by default the recipe's folder

---Runs a program and waits for its end. A program that ran is a result whatever its exit code; nil, err means that it could not run or took too long.
---@param options netlab.process.run.options
---@return netlab.process_result? result # { exit_code, signal, output, errors, dropped }
---@return netlab.error? err
function netlab.process.run(options) end

---@class netlab.registry.mirrors.options
---@field address? string by which nodes reach the proxy; by default where it listens

---What nodes need to know to pull through a proxy. Of the result, `containerd` has the texts of hosts.toml files by their path below config_path, `talos` a machine config patch, `talos_documents` RegistryMirrorConfig documents for Talos 1.12 and later, `docker` the text of /etc/docker/daemon.json, which can have a mirror of docker.io only, and `urls` the address by registry.
---@param proxy registry.proxy
---@param options? netlab.registry.mirrors.options
---@return table mirrors # { urls, containerd, talos, talos_documents, docker }
function netlab.registry.mirrors(proxy, options) end

---Waits; everything else goes on.
---@param time string such as "250ms"
function netlab.sleep(time) end

---Runs a function as a task beside this one. When this task ends, those it spawned are cancelled.
---@param fn function
---@param ... any its arguments
---@return netlab.task task
function netlab.spawn(fn, ...) end

---Names the folder for everything that must survive a restart: leases, timelines, assets, the control socket. It is made when the services start.
---@param path string? relative names start at the recipe's folder; nil changes nothing
---@return string? path # the whole name
function netlab.state(path) end

---Ends netlab as SIGTERM does: no new work, what is under way finishes, state is stored.
function netlab.stop() end

---Fills {{name}} and {{node.name}} in a text. A name without a value raises; ${…} is left alone.
---@param text string
---@param values table
---@return string text
function netlab.template(text, values) end

---Checks a recipe given as text without binding anything: { messages, graph }. Used by the test kit.
---@param recipe string
---@param arguments? string[] of its command line
---@param path? string that it is taken to have
---@return table checked
function netlab.testing.check(recipe, arguments, path) end

---Makes a new folder for a test's files.
---@return string? path
---@return netlab.error? err
function netlab.testing.folder() end

---Whether recipe code may be compiled.
---@return boolean
function netlab.testing.jit() end

---Seconds of the running clock, which is virtual in simulated runs.
---@return number seconds
function netlab.testing.now() end

---The file of the running netlab, for tests of its commands.
---@return string? path
---@return netlab.error? err
function netlab.testing.program() end

---Gives a case's result to the runner of netlab test.
---@param result table
function netlab.testing.report(result) end

---File and line of the recipe code that is running.
---@return string file
---@return integer line
function netlab.testing.where() end

---@class netlab.tftp.get.options
---@field blksize? integer asked of the server (default 1428)
---@field windowsize? integer asked of the server; not asked for unless given
---@field probe? boolean only ask for the size, as UEFI firmware does first (default false)
---@field keep? string how much of the content to return; all of it is hashed (default "1MiB")
---@field timeout? string for the whole transfer (default "5m")
---@field max_size? string a larger file is an error (default "4GiB")
---@field address? string our address to ask from
---@field interface? string the interface to ask on

---Fetches a file over TFTP.
---@param url string tftp://10.0.0.1/file, with a numeric address
---@param options? netlab.tftp.get.options
---@return table? file # { bytes, size, elapsed (seconds), sha256, body, blksize, windowsize, server }
---@return netlab.error? err
function netlab.tftp.get(url, options) end

---The civil time in UTC, such as "2026-11-21T11:36:00.123Z".
---@return string
function netlab.time() end

---Runs a function with a deadline: its results, or nil, err with code "timeout" after cancelling it.
---@param deadline string such as "5s"
---@param fn function
---@param ... any its arguments
---@return any
function netlab.timeout(deadline, fn, ...) end

---Seconds since the machine booted: for measuring, because no clock step moves it.
---@return number seconds
function netlab.uptime() end

---The value of a YAML document (core schema). Anchors are expanded within bounds; a key that is there twice is an error.
---@param text string
---@return any value # nil on failure
---@return netlab.error? err # says line and column
function netlab.yaml.decode(text) end

---A list of the values of all documents in a YAML text.
---@param text string
---@return any[]? values
---@return netlab.error? err # says line and column
function netlab.yaml.decode_all(text) end

---YAML text of plain data, keys sorted.
---@param value any
---@return string text
function netlab.yaml.encode(value) end

return netlab
