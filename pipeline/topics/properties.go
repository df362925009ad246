package topics

// Properties are what MQTT 5 says of a message beside its payload
// [MQTT-3.3.2]; zero values are left out.
type Properties struct {
	ContentType   string
	ResponseTopic string
	Expiry        uint32 // seconds
	User          []Property
}

// A Property is a user property. Names may be there more than once.
type Property struct{ Name, Value string }
