package request

import "strings"

// User is the caller, as authentication established it.
type User struct {
	Name   string
	UID    string
	Groups []string
	Extra  map[string][]string
}

// InGroup tells whether the user is in the group.
func (u *User) InGroup(group string) bool {
	for _, g := range u.Groups {
		if g == group {
			return true
		}
	}
	return false
}

// Well-known users and groups, as upstream names them.
const (
	Anonymous            = "system:anonymous"
	GroupAuthenticated   = "system:authenticated"
	GroupUnauthenticated = "system:unauthenticated"
	GroupMasters         = "system:masters"
	GroupNodes           = "system:nodes"
	GroupServiceAccounts = "system:serviceaccounts"
	NodeUserPrefix       = "system:node:"
	ServiceAccountPrefix = "system:serviceaccount:"
)

// ServiceAccount splits the name of a service account user.
func (u *User) ServiceAccount() (namespace, name string, ok bool) {
	rest, ok := strings.CutPrefix(u.Name, ServiceAccountPrefix)
	if !ok {
		return "", "", false
	}
	return strings.Cut(rest, ":")
}

// Attributes say what a call wants. For calls that are about no resource only Verb (the lower-case method) and Path are set.
type Attributes struct {
	User        User
	Verb        string // get, list, watch, create, update, patch, delete, deletecollection; or the lower-case HTTP method
	Path        string
	IsResource  bool
	Group       string
	Version     string
	Resource    string // plural
	Subresource string
	Namespace   string
	Name        string
	// FieldSelector and LabelSelector are the raw selectors of list, watch and deletecollection.
	FieldSelector string
	LabelSelector string
}
