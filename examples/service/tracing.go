package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/exporters/stdout/stdouttrace"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// startTracing sends spans where OTEL_TRACES_EXPORTER says, and stop sends the last.
// For a collector, put otlptracehttp.New(ctx) in place of stdouttrace.New.
func startTracing(exporter string) (stop func(), err error) {
	switch exporter {
	case "", "none":
		return func() {}, nil
	case "console":
	default:
		return nil, fmt.Errorf("OTEL_TRACES_EXPORTER is %q; this example knows console and none", exporter)
	}
	console, err := stdouttrace.New(stdouttrace.WithWriter(os.Stderr))
	if err != nil {
		return nil, err
	}
	provider := sdktrace.NewTracerProvider(sdktrace.WithBatcher(console))
	otel.SetTracerProvider(provider)
	return func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = provider.Shutdown(ctx) // the service ends anyway
	}, nil
}
