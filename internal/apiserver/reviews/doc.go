// Package reviews answers the questions that clients ask about authentication and authorization: the *Review kinds, which are
// created and never stored.
//
// In flow a review and its caller, out flows the same review with its status. What is asked is decided by packages authz and
// token; this package validates, translates and words. Validation and answers are kube-apiserver's.
package reviews
