package sources_test

import (
	"github.com/go-resty/resty/v2"

	"allocsync/sources"
)

var _ resty.Logger = sources.Silence{}
