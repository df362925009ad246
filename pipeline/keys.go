package pipeline

// Keys gives every key of a pipeline a small number, its code, in order of
// first appearance. Code 0 is the empty key, that of a pipeline without one.
type Keys struct {
	Max   int // the most keys, the empty one included
	codes map[string]uint32
	names []string
}

// NewKeys returns a dictionary that holds only the empty key.
func NewKeys(most int) *Keys {
	return &Keys{Max: most, codes: map[string]uint32{"": 0}, names: []string{""}}
}

// Code returns the code of key, a new one if need be; ok is false when the
// key is new and the dictionary full.
func (k *Keys) Code(key []byte) (code uint32, ok bool) {
	if code, ok = k.codes[string(key)]; ok {
		return code, true
	}
	if len(k.names) >= k.Max {
		return 0, false
	}
	code = uint32(len(k.names))
	name := string(key)
	k.codes[name] = code
	k.names = append(k.names, name)
	return code, true
}

// Name returns the key of a code.
func (k *Keys) Name(code uint32) string { return k.names[code] }

// Len returns the number of codes given out; all codes are below it.
func (k *Keys) Len() int { return len(k.names) }
