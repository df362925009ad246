package broker

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/eclipse/paho.golang/paho"
)

// ClientConfig says where to and as whom a Client connects.
type ClientConfig struct {
	Address        string // host:port
	ClientID       string
	User, Password string // User "" for none
}

// A Client is a connection to an MQTT 5 broker. It does not reconnect. Its
// methods may be called at the same time.
type Client struct {
	paho *paho.Client
	lost chan error // holds why the connection ended, once
}

// clientKeepAlive is how often a client that has nothing to say shows that it lives.
const clientKeepAlive = 30 * time.Second

// Dial connects, with a clean session.
func Dial(ctx context.Context, c ClientConfig) (*Client, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", c.Address)
	if err != nil {
		return nil, fmt.Errorf("broker: %w", err)
	}
	client := &Client{lost: make(chan error, 1)}
	client.paho = paho.NewClient(paho.ClientConfig{
		Conn: conn, ClientID: c.ClientID,
		OnClientError: client.ended,
		OnServerDisconnect: func(d *paho.Disconnect) {
			client.ended(fmt.Errorf("the broker disconnected us, reason code 0x%02x", d.ReasonCode))
		},
	})
	connect := &paho.Connect{ClientID: c.ClientID, CleanStart: true, KeepAlive: uint16(clientKeepAlive / time.Second)}
	if c.User != "" {
		connect.Username, connect.UsernameFlag = c.User, true
		connect.Password, connect.PasswordFlag = []byte(c.Password), true
	}
	ack, err := client.paho.Connect(ctx, connect)
	if err != nil {
		conn.Close()
		if ack != nil && ack.ReasonCode != 0 {
			return nil, fmt.Errorf("broker: %s refused the connection, reason code 0x%02x", c.Address, ack.ReasonCode)
		}
		return nil, fmt.Errorf("broker: %s: %w", c.Address, err)
	}
	return client, nil
}

func (c *Client) ended(err error) {
	select {
	case c.lost <- err:
	default:
	}
}

// Publish sends a message. With QoS 1 or 2 it waits until the broker has
// acknowledged it; with QoS 0, only until it is with the operating system.
func (c *Client) Publish(ctx context.Context, topic string, payload []byte, qos byte) error {
	r, err := c.paho.Publish(ctx, &paho.Publish{Topic: topic, Payload: payload, QoS: qos})
	if err != nil {
		select {
		case why := <-c.lost:
			c.ended(why)
			err = why
		default:
		}
		return fmt.Errorf("broker: publish to %s: %w", topic, err)
	}
	if r != nil && r.ReasonCode >= 0x80 {
		return fmt.Errorf("broker: publish to %s: refused, reason code 0x%02x", topic, r.ReasonCode)
	}
	return nil
}

// Close says goodbye and closes the connection.
func (c *Client) Close() error {
	err := c.paho.Disconnect(&paho.Disconnect{})
	<-c.paho.Done()
	return err
}
