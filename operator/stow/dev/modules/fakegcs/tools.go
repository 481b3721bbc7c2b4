//go:build tools

// Package tools pins the fake-gcs-server that the test suite starts.
package tools

import _ "github.com/fsouza/fake-gcs-server"
