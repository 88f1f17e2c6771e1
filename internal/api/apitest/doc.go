// Package apitest runs written scenarios of writes against the catalogue: a file has an object as it is stored, and then cases,
// each a change to it and what the server says to that. Input are the files of a testdata folder and the entries of one group;
// output are test failures, or the files brought up to date. It knows of no kind in particular.
//
// A file is a txtar archive whose first section, "base", is a manifest. Every later section is a case, named by what is done and
// a sentence: "create: a pod without containers". What it holds is laid over the base as a JSON merge patch, so that null
// removes a field and a list takes the place of the base's. "update" and "status" write to the stored base and its status, and
// the name of a subresource, such as "resize", writes there. The section "want" after a case has a line for each warning and
// each error, or "ok". Another "base" section takes the place of the first for the cases after it.
package apitest
