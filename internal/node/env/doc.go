// Package env works out what a container is started with: its environment, command and arguments.
//
// Pure: the ConfigMaps, Secrets and Services that a container refers to flow in (References says which), a list of variables or
// a sentence for a container that can't be created flows out. Behaviour, order and wording follow the kubelet of v1.37.
package env
