// Package critest is a container runtime for tests: the CRI in memory, without processes.
//
// What its containers do is data, by image: whether the image is there, whether a pull fails, whether a container of it ends by
// itself or ignores its stop signal. Tests talk to it through an in-process connection (no sockets, so that it also works under
// testing/synctest) and look at the calls it got.
package critest
