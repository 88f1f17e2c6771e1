// Package logs reads, follows and rotates the log files that the runtime writes for containers.
//
// A line is "TIME STREAM TAG TEXT" as the CRI says; a long line comes in parts (tag P) that end with tag F. In flow a path and
// what the reader wants, out flows text. One inotify instance, made when the first reader follows, serves all readers of the
// agent.
package logs
