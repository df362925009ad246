package config

import "time"

// A File is a configuration. Its values have been checked, but for what only
// the parts themselves can check: expressions, functions and columns.
type File struct {
	Path string `yaml:"-"` // as it was named
	Dir  string `yaml:"-"` // relative paths in the file start here

	Broker    Broker       `yaml:"broker" doc:"the embedded MQTT broker"`
	Brokers   OtherBrokers `yaml:"brokers" doc:"other MQTT brokers by name, to read from and to publish to"`
	HTTP      HTTP         `yaml:"http" doc:"the HTTP server of /healthz and /metrics"`
	Journal   Journal      `yaml:"journal" doc:"the log that every message goes through"`
	Clock     Clock        `yaml:"clock" doc:"what is done about a system clock that is not set"`
	Functions Functions    `yaml:"functions" doc:"limits of WebAssembly functions"`
	Log       Log          `yaml:"log" doc:"what is logged to standard error"`
	Simulate  *Simulate    `yaml:"simulate" doc:"imitated machines that publish to the broker, for demonstrations"`
	Pipelines Pipelines    `yaml:"pipelines,required" doc:"pipelines by name"`
	Sinks     Sinks        `yaml:"sinks" doc:"sinks by name, for use in several pipelines"`

	Unsound Pipelines `yaml:"-"` // those with problems, of a file that came with an error

	src *source
}

// Broker is the embedded MQTT broker.
type Broker struct {
	Listen     []string `yaml:"listen" min:"1" doc:"where it listens: mqtt://host:port, host empty for all addresses"`
	Anonymous  string   `yaml:"anonymous" enum:"loopback,always,never" doc:"who may connect without a name: clients of the same machine, everybody, nobody"`
	Users      string   `yaml:"users" doc:"file of users that millrace user keeps"`
	Access     *Access  `yaml:"access" doc:"which topics clients may publish to and subscribe to; everything unless said"`
	MaxPacket  Size     `yaml:"max_packet" min:"1024" max:"268435455" doc:"largest MQTT packet; a client that sends a larger one is disconnected"`
	MaxClients int      `yaml:"max_clients" min:"1" max:"1000000" doc:"most clients at once"`

	MaxConnectionsPerAddress int `yaml:"max_connections_per_address" min:"1" max:"1000000" doc:"most connections at once from one IP address"`
}

// HTTP is the HTTP server.
type HTTP struct {
	Listen string `yaml:"listen" doc:"host:port; empty for none"`
}

// Journal is the log.
type Journal struct {
	Dir        string        `yaml:"dir" doc:"folder of the journal on disk; empty for a journal in memory alone"`
	Commit     time.Duration `yaml:"commit" min:"1" doc:"time between two group commits; QoS 1 and 2 messages are acknowledged after theirs"`
	Space      Size          `yaml:"space" min:"8388608" doc:"bytes on disk; when what is still needed fills them, publishers wait"`
	Checkpoint time.Duration `yaml:"checkpoint" min:"1" doc:"time between two checkpoints of a pipeline's state, which bounds what is processed again after a crash"`
	OnFull     string        `yaml:"on_full" enum:"wait,refuse" doc:"what publishers find when the journal is full: they wait, or MQTT 5 ones are refused with 0x97"`
	Memory     Size          `yaml:"memory" min:"1048576" doc:"bytes of messages kept in memory for pipelines that are behind; then publishers wait"`
}

// Clock is about the system's clock.
type Clock struct {
	Wait time.Duration `yaml:"wait" doc:"how long messages that came in wait for a clock that is not set, so that their arrival times can be corrected; not at all unless said"`
}

// Functions are limits of all functions.
type Functions struct {
	Cache  string `yaml:"cache" doc:"folder of compiled functions; the user's cache folder unless said"`
	Memory Size   `yaml:"memory" min:"65536" max:"2147483648" doc:"memory of a function instance"`
	Steps  int64  `yaml:"steps" min:"1000" doc:"loop rounds and calls in one call of a function"`
}

// Log is the log on standard error.
type Log struct {
	Level  string `yaml:"level" enum:"debug,info,warn,error" doc:"the least that is logged"`
	Format string `yaml:"format" enum:"text,json" doc:"how it is written"`
}

// Simulate are imitated machines.
type Simulate struct {
	Machines int           `yaml:"machines" min:"1" max:"10000" doc:"how many"`
	Topic    string        `yaml:"topic" doc:"where they publish; {line} and {device} are theirs"`
	Every    time.Duration `yaml:"every" min:"1" doc:"time between two readings of a machine"`
	Fault    time.Duration `yaml:"fault" doc:"the last machine runs hot for 10 s once in this time, first after 10 s; 0 for never"`
}

// Pipelines are the pipelines of a file, in its order.
type Pipelines []Pipeline

// Pipeline is a chain of steps.
type Pipeline struct {
	Name string `yaml:"-"`
	Path string `yaml:"-"` // pipelines.motors

	From        From          `yaml:"from,required" min:"1" doc:"MQTT topic filter, or a list; streams by name with a filter each; {mqtt: BROKER, topic: FILTER}; or {pipeline: NAME}. Levels in braces become columns"`
	Decode      Decode        `yaml:"decode" doc:"what payloads are: a format, or {format, …}"`
	Explode     string        `yaml:"explode" doc:"path of an array, each element of which becomes a row; . if the payload is an array"`
	Fields      FieldKinds    `yaml:"fields" doc:"kinds of payload fields (number, int, bool, text) where their use does not tell"`
	Time        TimeField     `yaml:"time" doc:"payload field of the event time, or {field, unit, …}; arrival time unless said"`
	Key         []string      `yaml:"key" doc:"column, or list of columns, that windows and functions keep apart"`
	KeysMax     int           `yaml:"keys_max" min:"1" max:"10000000" doc:"most keys; a message with one more is a dead letter"`
	Lateness    time.Duration `yaml:"lateness" doc:"how long a window waits for stragglers, in event time"`
	Idle        Idle          `yaml:"idle" doc:"silence of a key after which the clock closes its windows, or never"`
	Durability  string        `yaml:"durability" enum:"durable,relaxed,memory" doc:"what is kept through a crash: everything acknowledged; all but the last moments; nothing. Durable where the journal has a folder, unless said"`
	Emit        string        `yaml:"emit" enum:"committed,eager" doc:"when results of a durable pipeline leave: when they are on disk, or at once, and then again after a crash"`
	AllowLoop   bool          `yaml:"allow_loop" doc:"the pipeline may receive what it publishes; a message is stopped after 8 hops"`
	Steps       []Step        `yaml:"steps" doc:"what is done, in order"`
	To          []Target      `yaml:"to" min:"1" doc:"sinks of the results; may be left out where a pipeline reads them or a switch takes every row"`
	Late        []Target      `yaml:"late" doc:"sinks of messages whose window had spoken"`
	DeadLetters []Target      `yaml:"dead_letters" doc:"sinks of messages set aside; columns stage, reason, topic, payload, offset"`
}

// FieldKinds are the kinds of payload fields, in the order of the file.
type FieldKinds []FieldKind

// FieldKind says the kind of a payload field.
type FieldKind struct{ Name, Kind string }

// TimeField is where the event time is.
type TimeField struct {
	Field string `yaml:"field,required" doc:"payload field"`
	Unit  string `yaml:"unit" enum:"ms,s,us,ns,rfc3339" doc:"unit since 1970, or a text as in RFC 3339"`
	Zone  string `yaml:"zone" doc:"rfc3339: the zone of times that have none, such as Europe/Berlin; UTC unless said"`

	Step time.Duration `yaml:"step" min:"1" doc:"with explode: time from element to element; the field has the time of the first"`
}

// Idle is a time of silence.
type Idle struct {
	Never bool
	After time.Duration
}

// Step is one thing that is done with rows. Its kind is the key that says
// what; keys with the tag of go with that one.
type Step struct {
	Path     string      `yaml:"-"`
	Kind     string      `yaml:"-"`
	Where    string      `yaml:"where" doc:"expression; rows for which it is true go on"`
	Set      Expressions `yaml:"set" doc:"columns that are computed: an expression for each, which may use those above it"`
	Keep     []string    `yaml:"keep" min:"1" doc:"columns that are kept, in this order; all others are dropped"`
	Drop     []string    `yaml:"drop" min:"1" doc:"columns that are dropped"`
	Rename   Renames     `yaml:"rename" doc:"new name by column"`
	Round    Roundings   `yaml:"round" doc:"decimals by column, 0 to 15"`
	Convert  Conversions `yaml:"convert" doc:"units by column, such as F to C"`
	Hash     *Hash       `yaml:"hash" doc:"texts are replaced by what only those with a secret can tell"`
	Deadband *Deadband   `yaml:"deadband" doc:"rows that tell something new pass: report by exception"`
	Compress *Compress   `yaml:"compress" doc:"rows pass that a straight line cannot tell: a swinging door"`
	Dedupe   *Dedupe     `yaml:"dedupe" doc:"rows that were there already are dropped"`
	Sample   *Sample     `yaml:"sample" doc:"one of so many rows of a key passes, or one in a time"`
	Throttle *Throttle   `yaml:"throttle" doc:"at most so many rows of a key pass in a time"`
	Fill     *Fill       `yaml:"fill" doc:"rows are made where a key has none"`
	Lookup   *Lookup     `yaml:"lookup" doc:"columns are added from a table: a file, or messages"`
	Geo      *Geo        `yaml:"geo" doc:"cells and fences of a place on earth"`
	Window   *Window     `yaml:"window" doc:"aggregates over stretches of event time"`
	Function string      `yaml:"function" reads:".wasm" doc:"name of a shipped function, or path of a .wasm file"`
	Input    Pairs       `yaml:"input" of:"function" doc:"function: column for each of its inputs; the column of the same name unless said"`
	With     Params      `yaml:"with" of:"function" doc:"function: its parameters"`
	Limits   Limits      `yaml:"limits" of:"function" doc:"function: limits of its own"`
	Align    *Align      `yaml:"align" doc:"one row of the rows of several streams"`
	Join     *Join       `yaml:"join" doc:"pairs of the rows of two streams"`
	Switch   Switch      `yaml:"switch" doc:"branches by name; a row takes the first whose condition is true"`
}

// Pairs bind names to columns, in the order of the file.
type Pairs []Pair

// Pair binds a name to a column.
type Pair struct{ Name, Value string }

// Params are the parameters of a function, in the order of the file.
type Params []Param

// Param is a parameter of a function.
type Param struct {
	Name  string
	Value float64
}

// Limits are limits of one function; zero: those of the file.
type Limits struct {
	Memory Size  `yaml:"memory" min:"65536" max:"2147483648" doc:"memory of the instance; that of the file unless said"`
	Steps  int64 `yaml:"steps" min:"1000" doc:"loop rounds and calls in one call; those of the file unless said"`
}

// Aggregates are the results of a window, in the order of the file.
type Aggregates []Aggregate

// Aggregate is a result of a window.
type Aggregate struct {
	Name   string  // the result column
	Op     string  // as in YAML, but quantile for median and pNN
	Column string  // empty for count
	Arg    float64 // of quantile: between 0 and 1; of rate and integral: seconds of the unit; of top: how many
	Path   string
}

// Target is a place for rows: a named sink, or one described here. Ref or one
// of the pointers is set.
type Target struct {
	Path string
	Ref  string // name of a sink of the file, whose kind is Kind
	Kind string // a key of a sink: topic, stdout, file …

	Topic  *TopicSink
	Stdout *StdoutSink
	File   *FileSink
	Influx *InfluxSink

	HTTP          *HTTPSink
	Postgres      *PostgresSink
	Prometheus    *PrometheusSink
	NATS          *NATSSink
	Kafka         *KafkaSink
	HomeAssistant *HomeAssistantSink
}

// Sinks are the named sinks of a file, in its order.
type Sinks []NamedSink

// NamedSink is a sink for use in several pipelines.
type NamedSink struct {
	Name string
	Path string
	Target
}

// TopicSink publishes rows.
type TopicSink struct {
	Topic  string   `yaml:"topic,required" doc:"topic; columns in braces"`
	MQTT   string   `yaml:"mqtt" doc:"name of a broker of brokers:; the embedded one unless said"`
	QoS    int      `yaml:"qos" max:"2" doc:"0, 1 or 2; to another broker 0 or 1, and 1 unless said"`
	Retain bool     `yaml:"retain" doc:"the broker keeps the last message of each topic"`
	Fields []string `yaml:"fields" doc:"columns of the payload; all unless said"`

	Format        string        `yaml:"format" enum:"json,line,cbor,value" doc:"what payloads are: a JSON object, line protocol, CBOR, or one column as it is"`
	Measurement   string        `yaml:"measurement" doc:"format line: the measurement; columns in braces"`
	Tags          []string      `yaml:"tags" doc:"format line: columns written as tags"`
	ContentType   string        `yaml:"content_type" doc:"MQTT 5: media type of the payload, such as application/json"`
	ResponseTopic string        `yaml:"response_topic" doc:"MQTT 5: topic for answers; columns in braces"`
	Expiry        time.Duration `yaml:"expiry" doc:"MQTT 5: after this time the message is no longer delivered; 0 for never"`
	Properties    Texts         `yaml:"properties" doc:"MQTT 5: user properties; columns in braces"`
	ID            bool          `yaml:"id" doc:"MQTT 5: the user property id, the same for the same result whenever it is sent again"`
}

// StdoutSink writes rows to standard output.
type StdoutSink struct {
	Line   string   `yaml:"line" doc:"a line with columns in braces, {mean:.2f} with two decimals; JSON unless said"`
	Fields []string `yaml:"fields" doc:"columns of the JSON; all unless said"`
}

// FileSink appends rows to a file.
type FileSink struct {
	Path   string   `yaml:"path,required" doc:"the file"`
	Format string   `yaml:"format" enum:"ndjson,csv,line" doc:"a JSON object a line, comma-separated, or line protocol"`
	Fields []string `yaml:"fields" doc:"columns; all unless said"`
	Rotate Rotate   `yaml:"rotate" doc:"when a new file is begun"`

	Measurement string   `yaml:"measurement" doc:"format line: the measurement; columns in braces"`
	Tags        []string `yaml:"tags" doc:"format line: columns written as tags"`
}

// Rotate says when a new file is begun.
type Rotate struct {
	Bytes Size          `yaml:"bytes" doc:"at this size; 0 for never"`
	Age   time.Duration `yaml:"age" doc:"after this time; 0 for never"`
	Keep  int           `yaml:"keep" doc:"how many old files stay; 0 for all"`
}

// InfluxSink writes rows to InfluxDB or its kin.
type InfluxSink struct {
	URL             string        `yaml:"url,required" doc:"http://host:8086"`
	Version         int           `yaml:"version" min:"1" max:"3" doc:"1: /write with a database; 2: /api/v2/write with org and bucket; 3: /api/v3/write_lp with a database"`
	Database        string        `yaml:"database" doc:"versions 1 and 3: the database"`
	RetentionPolicy string        `yaml:"retention_policy" doc:"version 1: the retention policy"`
	Org             string        `yaml:"org" doc:"version 2: the organisation"`
	Bucket          string        `yaml:"bucket" doc:"version 2: the bucket"`
	Token           Secret        `yaml:"token" doc:"versions 2 and 3: the token; ${NAME} takes it from the environment"`
	TokenFile       string        `yaml:"token_file" reads:"" doc:"file that holds the token"`
	User            string        `yaml:"user" doc:"version 1: the user"`
	Password        Secret        `yaml:"password" doc:"version 1: the password; ${NAME} takes it from the environment"`
	PasswordFile    string        `yaml:"password_file" reads:"" doc:"file that holds the password"`
	Measurement     string        `yaml:"measurement,required" doc:"the measurement; columns in braces"`
	Tags            []string      `yaml:"tags" doc:"columns written as tags"`
	Fields          []string      `yaml:"fields" doc:"columns written as fields; all others unless said"`
	Gzip            bool          `yaml:"gzip" doc:"compress requests"`
	Timeout         time.Duration `yaml:"timeout" min:"1" doc:"how long a request may take"`
	Batch           int           `yaml:"batch" min:"1" max:"100000" doc:"most rows in a request"`
	Linger          time.Duration `yaml:"linger" doc:"how long rows wait for more"`
	Queue           Size          `yaml:"queue" min:"1024" doc:"bytes of rows kept while the server is away; then the oldest are dropped"`
}
