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
---@field modified integer

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
netlab.err = {}
netlab.fs = {}
netlab.http = {}
netlab.json = {}
netlab.log = {}
netlab.process = {}
netlab.testing = {}
netlab.yaml = {}

---A network, as netlab.network returns it.
---@class netlab.network
---@field ip string Our address.
---@field address string Our address with the prefix length.
---@field interface string The interface's name, empty when none was given.
---@field domain string The clients' domain, empty when none was given.
---@field router string? The clients' router, or nil.
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

---@class netlab.network.options
---@field interface? string the interface that leads to it, such as "eth0"
---@field address? string our address with the prefix length; by default the interface's first IPv4 address
---@field router? string the clients' way out; offered by DHCP
---@field domain? string the clients' domain, such as "lab.internal"
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

---Declares the recipe's command-line options, in the order of --help, and returns their values. Accepts --name value, --name=value, and --name / --no-name for booleans.
---@param options netlab.option[] { name, type, default, required, help }
---@return table<string, any> values # by name; nil where neither given nor defaulted
function netlab.args(options) end

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

---A file's { name, folder, size, modified }.
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

---@class netlab.http.get.options
---@field headers? table<string, string> request headers
---@field timeout? string for the whole exchange (default "30s")
---@field connect_timeout? string for the connection alone (default "10s")
---@field redirects? integer followed at most; 0 returns the redirect itself (default 5)
---@field body_limit? string a larger response is an error (default "64MiB")
---@field verify? boolean check the server's certificate (default true)
---@field ca_file? string certificates to trust instead of the system's

---Fetches a URL.
---@param url string
---@param options? netlab.http.get.options
---@return netlab.http_response? response # { status, ok, headers, body, url }: any status is a response
---@return netlab.error? err # why there was none
function netlab.http.get(url, options) end

---@class netlab.http.request.options
---@field url string what to ask for (required)
---@field method? string the method (default "GET")
---@field body? string what to send
---@field headers? table<string, string> request headers
---@field timeout? string for the whole exchange (default "30s")
---@field connect_timeout? string for the connection alone (default "10s")
---@field redirects? integer followed at most; 0 returns the redirect itself (default 5)
---@field body_limit? string a larger response is an error (default "64MiB")
---@field verify? boolean check the server's certificate (default true)
---@field ca_file? string certificates to trust instead of the system's

---Sends an HTTP request.
---@param options netlab.http.request.options
---@return netlab.http_response? response # { status, ok, headers, body, url }: any status is a response
---@return netlab.error? err # why there was none
function netlab.http.request(options) end

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

---Runs a function with a deadline: its results, or nil, err with code "timeout" after cancelling it.
---@param deadline string such as "5s"
---@param fn function
---@param ... any its arguments
---@return any
function netlab.timeout(deadline, fn, ...) end

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
