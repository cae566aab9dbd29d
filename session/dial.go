package session

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// setHostAddr does what libpq does with hostaddr: it is dialed in the host's
// place, while the host's name stays for TLS and .pgpass.
func setHostAddr(conn *pgx.ConnConfig, addresses string) error {
	if addresses == "" {
		return nil
	}
	hosts := []string{conn.Host}
	last := fmt.Sprint(conn.Host, conn.Port)
	for _, f := range conn.Fallbacks { // two for a host, with and without TLS
		if name := fmt.Sprint(f.Host, f.Port); name != last {
			hosts, last = append(hosts, f.Host), name
		}
	}
	list := strings.Split(addresses, ",")
	if len(list) != len(hosts) {
		return errors.New("session: hostaddr doesn't have as many addresses as there are hosts")
	}
	byHost := map[string]string{}
	for i, address := range list {
		if strings.HasPrefix(hosts[i], "/") || byHost[hosts[i]] != "" && byHost[hosts[i]] != address {
			return errors.New("session: hostaddr beside a socket, or twice for a host, is what pgx can't do")
		}
		if address != "" && net.ParseIP(address) == nil {
			return errors.New("session: hostaddr is not an IP address")
		}
		byHost[hosts[i]] = address
	}
	lookup := conn.LookupFunc
	conn.LookupFunc = func(ctx context.Context, host string) ([]string, error) {
		if address := byHost[host]; address != "" {
			return []string{address}, nil
		}
		return lookup(ctx, host)
	}
	return nil
}

// setDialer applies libpq's keepalive settings, in seconds, and
// tcp_user_timeout, in milliseconds. 0 is the system's default.
func setDialer(conn *pgx.ConnConfig, params map[string]string) error {
	number := map[string]int{}
	for _, name := range []string{"keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout"} {
		value, given := params[name]
		if !given {
			continue
		}
		n, err := strconv.Atoi(strings.TrimSpace(value))
		if err != nil {
			return fmt.Errorf("session: the parameter %q is not a number", name)
		}
		number[name] = n
	}
	if len(number) == 0 {
		return nil
	}
	dialer := &net.Dialer{Timeout: conn.ConnectTimeout}
	if on, given := number["keepalives"]; given && on == 0 {
		dialer.KeepAlive = -1
	} else {
		dialer.KeepAliveConfig = net.KeepAliveConfig{
			Enable:   true,
			Idle:     orSystem(time.Duration(number["keepalives_idle"]) * time.Second),
			Interval: orSystem(time.Duration(number["keepalives_interval"]) * time.Second),
			Count:    int(orSystem(time.Duration(number["keepalives_count"]))),
		}
	}
	if timeout := number["tcp_user_timeout"]; timeout > 0 {
		if userTimeout == nil {
			return errors.New("session: tcp_user_timeout can't be set on this system")
		}
		dialer.Control = userTimeout(timeout)
	}
	conn.DialFunc = dialer.DialContext
	return nil
}

// orSystem keeps net.Dialer from putting its own default where libpq has none.
func orSystem(d time.Duration) time.Duration {
	if d <= 0 {
		return -1
	}
	return d
}
