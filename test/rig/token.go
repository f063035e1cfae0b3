package rig

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// tokenSeconds is how long a requested token lasts.
const tokenSeconds = 6 * 60 * 60

// ServiceAccount makes a ServiceAccount where there is none and requests a token for it. Each call
// gives another token.
func (c *Cluster) ServiceAccount(ctx context.Context, namespace, name string) (User, error) {
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	if err := c.admin.Create(ctx, account); err != nil && !apierrors.IsAlreadyExists(err) {
		return User{}, fmt.Errorf("create ServiceAccount %s/%s in %s: %w", namespace, name, c.name, err)
	}
	seconds := int64(tokenSeconds)
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: &seconds}}
	if err := c.admin.SubResource("token").Create(ctx, account, request); err != nil {
		return User{}, fmt.Errorf("request a token for %s/%s in %s: %w", namespace, name, c.name, err)
	}
	return User{
		Name:   "system:serviceaccount:" + namespace + ":" + name,
		Groups: []string{"system:serviceaccounts", "system:serviceaccounts:" + namespace},
		Token:  request.Status.Token,
	}, nil
}

// Grant lets a user do what rules say, in the whole cluster.
func (c *Cluster) Grant(ctx context.Context, user User, rules ...rbacv1.PolicyRule) error {
	role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{GenerateName: "rig-"}, Rules: rules}
	if err := c.admin.Create(ctx, role); err != nil {
		return fmt.Errorf("create a ClusterRole in %s: %w", c.name, err)
	}
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: role.Name},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role.Name},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: user.Name}},
	}
	if err := c.admin.Create(ctx, binding); err != nil {
		return fmt.Errorf("bind ClusterRole %s in %s: %w", role.Name, c.name, err)
	}
	return nil
}

// AddUser makes a static token known. The API server reads the file at start only, so it is
// restarted; users that are known beforehand belong in ClusterOptions.Users.
func (c *Cluster) AddUser(ctx context.Context, user User) error {
	if user.Name == "" || user.Token == "" {
		return errors.New("a user of the token file needs Name and Token")
	}
	return c.restart(ctx, func() error {
		c.tokenUsers = append(c.tokenUsers, user)
		return nil
	})
}

// RevokeToken makes a token invalid and returns when the API server refuses it.
//
// A static token is taken out of the token file, which costs a restart of the API server and so
// breaks every watch. A ServiceAccount's token is revoked by deleting the Secret that it is bound
// to, else the ServiceAccount, which disturbs nobody else, but the API server remembers tokens it
// accepted for 10 s, so it takes up to that long. Watches that are open stay open in that case.
func (c *Cluster) RevokeToken(ctx context.Context, token string) error {
	known := func(user User) bool { return user.Token == token }
	c.mu.Lock()
	static := slices.ContainsFunc(c.tokenUsers, known)
	c.mu.Unlock()
	if static {
		err := c.restart(ctx, func() error {
			c.tokenUsers = slices.DeleteFunc(c.tokenUsers, known)
			return nil
		})
		if err != nil {
			return err
		}
		return c.awaitRefused(ctx, token)
	}
	bound, err := boundTo(token)
	if err != nil {
		return err
	}
	if err := client.IgnoreNotFound(c.admin.Delete(ctx, bound)); err != nil {
		return fmt.Errorf("revoke a token of %s: %w", c.name, err)
	}
	return c.awaitRefused(ctx, token)
}

// awaitRefused asks until the token does not count any more.
func (c *Cluster) awaitRefused(ctx context.Context, token string) error {
	asUser, err := c.ClientFor(User{Name: "revoked", Token: token})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, DefaultPatience)
	defer cancel()
	return poll(ctx, func(ctx context.Context) error {
		review := &authenticationv1.SelfSubjectReview{}
		err := asUser.Create(ctx, review)
		switch {
		case apierrors.IsUnauthorized(err):
			return nil
		case err != nil:
			return fmt.Errorf("ask %s about a revoked token: %w", c.name, err)
		default:
			return fmt.Errorf("%s still accepts the token of %s", c.name, review.Status.UserInfo.Username)
		}
	})
}

// boundTo reads a ServiceAccount token for the object whose deletion revokes it.
func boundTo(token string) (client.Object, error) {
	type reference struct {
		Name string `json:"name"`
	}
	var claims struct {
		Bound struct {
			Namespace string     `json:"namespace"`
			Account   *reference `json:"serviceaccount"`
			Secret    *reference `json:"secret"`
		} `json:"kubernetes.io"`
		// Tokens in Secrets of type kubernetes.io/service-account-token carry these instead.
		LegacyNamespace string `json:"kubernetes.io/serviceaccount/namespace"`
		LegacySecret    string `json:"kubernetes.io/serviceaccount/secret.name"`
	}
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return nil, errors.New("this token is in no token file and belongs to no ServiceAccount: nothing to revoke")
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return nil, errors.New("this token cannot be read: its claims are not base64")
	}
	if err := json.Unmarshal(text, &claims); err != nil {
		return nil, errors.New("this token cannot be read: its claims are not JSON")
	}
	bound := claims.Bound
	switch {
	case claims.LegacySecret != "":
		return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: claims.LegacyNamespace, Name: claims.LegacySecret}}, nil
	case bound.Secret != nil:
		return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: bound.Namespace, Name: bound.Secret.Name}}, nil
	case bound.Account != nil:
		return &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: bound.Namespace, Name: bound.Account.Name}}, nil
	}
	return nil, errors.New("this token names no ServiceAccount: nothing to revoke")
}
