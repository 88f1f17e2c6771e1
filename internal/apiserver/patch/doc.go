// Package patch computes what a patch or an apply makes of an object, and who owns which fields afterwards.
//
// In flow an object, the bytes of a patch (JSON patch, merge patch, strategic merge patch) or an applied configuration; out
// flows the changed object or a Status error in upstream's words. Fields keeps metadata.managedFields with the field's own
// library, whose schemas are loaded on first use. Nothing here knows of the store, of HTTP or of admission.
package patch
