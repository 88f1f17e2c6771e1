// Package config holds the settings of a server and of an agent: their flags, defaults and validation.
//
// In flow command-line flags; out flow values that were checked and completed, which the start list hands to the rooms. It
// also says where things lie below the data folder, so that whoever starts a node and whoever runs in it agree. It starts
// nothing and reads no file.
package config
