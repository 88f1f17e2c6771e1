// Package request holds what a call to the API server is about, once its URL and caller are known. It is plain data that
// authentication, authorization, admission and the handlers share.
// It decides nothing, and knows neither HTTP nor the store.
package request
