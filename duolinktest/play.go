package duolinktest

// What people and banks do.

// CompleteLogin logs a person in through a login link: the link gets a login with three accounts, and
// is closed. A link that was closed without a login accepts one, too, as if the person had begun
// before. A link that is over, or that requires another username, fails the test.
func (s *Server) CompleteLogin(loginLinkID, username string) {
	s.t.Helper()
	s.must(s.sandbox.CompleteLogin(loginLinkID, username))
}

// RefuseLogin lets a person refuse to log in: the login link is closed without a login. The vendor's
// documents do not say what happens; they say that such a link is over.
func (s *Server) RefuseLogin(loginLinkID string) {
	s.t.Helper()
	s.must(s.sandbox.RefuseLogin(loginLinkID))
}

// ExpireLink lets a login link expire now. A closed link stays closed.
func (s *Server) ExpireLink(loginLinkID string) {
	s.t.Helper()
	s.must(s.sandbox.HasLoginLink(loginLinkID))
	s.sandbox.ExpireLink(loginLinkID)
}

// SetBankLinkState puts a bank link into a state, such as "connected", "deleted" or "error", with the
// error code of the state error, such as "auth_expired". It takes any text, because the vendor's states
// are an open set.
func (s *Server) SetBankLinkState(bankLinkID, state, errorCode string) {
	s.t.Helper()
	s.must(s.sandbox.HasBankLink(bankLinkID))
	s.sandbox.SetLinkState(bankLinkID, state, errorCode)
}

// FailRefreshes lets refreshes of a bank link that begin from now on fail with a product's error code,
// such as "institution_error". "" lets them succeed again.
func (s *Server) FailRefreshes(bankLinkID, productErrorCode string) {
	s.t.Helper()
	s.must(s.sandbox.HasBankLink(bankLinkID))
	s.sandbox.FailRefreshes(bankLinkID, productErrorCode)
}

// SetUnavailable makes a product of a bank link unavailable, for a reason in words. The reason ""
// makes it available again. A product that the link does not have fails the test.
func (s *Server) SetUnavailable(bankLinkID, product, reason string) {
	s.t.Helper()
	s.must(s.sandbox.HasProduct(bankLinkID, product))
	s.sandbox.SetUnavailable(bankLinkID, product, reason)
}

// Refreshes returns how many refreshes of a bank link were accepted. Each of them could be billed.
func (s *Server) Refreshes(bankLinkID string) int {
	s.t.Helper()
	s.must(s.sandbox.HasBankLink(bankLinkID))
	return s.sandbox.Refreshes(bankLinkID)
}

// ExpireTokens lets every MoneyKit token expire now, so that the client has to exchange another.
func (s *Server) ExpireTokens() { s.sandbox.ExpireTokens() }
