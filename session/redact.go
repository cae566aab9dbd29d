package session

import (
	"net/netip"
	"regexp"
	"strings"
)

const hidden = "***"

var (
	// plain is what a part may consist of to be shown: nothing that separates parts
	// of a URL, since a wrongly encoded password ends up in any of them.
	plain       = regexp.MustCompile(`^[\pL\pN_. -]*$`)
	plainPath   = regexp.MustCompile(`^[\pL\pN_. /-]*$`)
	plainHosts  = regexp.MustCompile(`^[\pL\pN_.,/-]*(:[0-9]{1,5})?$`)
	plainNumber = regexp.MustCompile(`^[0-9]{1,5}$`)

	// shown are the parameters whose values say nothing secret.
	shown = map[string]*regexp.Regexp{
		"host": plainHosts, "port": plainNumber, "sslmode": plain, "ssl": plain,
		"target_session_attrs": plain, "application_name": plain, "connect_timeout": plain,
	}
)

// Redact is a URL to show to people: without the password, and without any part
// that doesn't look like what stands in its place. It takes every text, of any
// database or none, and never fails. The result is for reading, not for parsing.
func Redact(url string) string {
	at := urlPattern.FindStringSubmatchIndex(url)
	if at == nil || at[1] != len(url) {
		return hidden
	}
	part := func(i int) (string, bool) {
		if at[2*i] < 0 {
			return "", false
		}
		return url[at[2*i]:at[2*i+1]], true
	}
	var b strings.Builder
	scheme, _ := part(1)
	b.WriteString(scheme + "://")
	user, hasUser := part(2)
	if hasUser {
		b.WriteString(orHidden(user, plain))
		if _, ok := part(3); ok {
			b.WriteString(":" + hidden)
		}
		b.WriteString("@")
	}
	if address, ok := part(4); ok {
		if _, err := netip.ParseAddr(address); err != nil {
			address = hidden
		}
		b.WriteString("[" + address + "]")
	}
	if host, ok := part(5); ok {
		b.WriteString(orHidden(host, plainHosts))
	}
	if port, ok := part(6); ok {
		b.WriteString(":" + orHidden(port, plainNumber))
	}
	if database, ok := part(7); ok {
		b.WriteString("/" + orHidden(database, plainPath))
	}
	if query, ok := part(8); ok {
		b.WriteString("?")
		for i, p := range parseQuery(query) {
			for j, value := range p.values {
				if i+j > 0 {
					b.WriteString("&")
				}
				b.WriteString(redactParameter(p.name, value))
			}
		}
	}
	return b.String()
}

func orHidden(text string, pattern *regexp.Regexp) string {
	if !pattern.MatchString(text) {
		return hidden
	}
	return text
}

func redactParameter(name, value string) string {
	if pattern, ok := shown[name]; ok {
		return name + "=" + orHidden(value, pattern)
	}
	if _, ok := libpqKeywords[name]; ok {
		return name + "=" + hidden
	}
	return hidden
}
