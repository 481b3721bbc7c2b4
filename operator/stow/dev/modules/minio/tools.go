//go:build tools

// Package tools pins the MinIO server that the test suite starts.
package tools

import _ "github.com/minio/minio"
