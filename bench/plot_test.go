package main

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"regexp"
	"strings"
	"testing"
)

// Each bar's length is its part of the longest one of its group, and its value stands beside.
func TestPlot(t *testing.T) {
	var svg bytes.Buffer
	err := plot{"a machine", []group{
		{"one & two", []bar{{"alembic", 200, "200 ms"}, {"reflex db", 50, "50 ms"}}},
		{"other unit", []bar{{"loop", 2, "2 s"}, {"--each", 1, "1 s"}}},
	}}.draw(&svg)
	if err != nil {
		t.Fatal(err)
	}
	text := svg.String()
	wellFormed(t, text)
	lengths := regexp.MustCompile(`<rect x="190" y="\d+" width="(\d+)"`).FindAllStringSubmatch(text, -1)
	for i, want := range []string{"440", "110", "440", "220"} {
		if i >= len(lengths) || lengths[i][1] != want {
			t.Fatalf("the lengths are %v, want %s for bar %d", lengths, want, i)
		}
	}
	for _, want := range []string{"one &amp; two", ">50 ms<", ">--each<", ">a machine<"} {
		if !strings.Contains(text, want) {
			t.Errorf("the plot has no %q", want)
		}
	}
}

func wellFormed(t *testing.T, svg string) {
	t.Helper()
	decoder := xml.NewDecoder(strings.NewReader(svg))
	for {
		if _, err := decoder.Token(); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatal(err)
		}
	}
}
