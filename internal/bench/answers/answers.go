// Package answers has the plain structs of the floor: texts, booleans, and numbers with all of their
// digits.
package answers

import "encoding/json"

// AuthAnswer is an answer of POST /auth/get.
type AuthAnswer struct {
	Accounts []struct {
		ID           string   `json:"account_id"`
		Balances     Balances `json:"balances"`
		Mask         string   `json:"mask"`
		Name         string   `json:"name"`
		OfficialName string   `json:"official_name"`
		Type         string   `json:"type"`
		Subtype      string   `json:"subtype"`
	} `json:"accounts"`
	Numbers struct {
		ACH []struct {
			AccountID   string `json:"account_id"`
			Account     string `json:"account"`
			Routing     string `json:"routing"`
			WireRouting string `json:"wire_routing"`
		} `json:"ach"`
		EFT []struct {
			AccountID   string `json:"account_id"`
			Account     string `json:"account"`
			Institution string `json:"institution"`
			Branch      string `json:"branch"`
		} `json:"eft"`
		BACS []struct {
			AccountID string `json:"account_id"`
			Account   string `json:"account"`
			SortCode  string `json:"sort_code"`
		} `json:"bacs"`
		International []struct {
			AccountID string `json:"account_id"`
			IBAN      string `json:"iban"`
			BIC       string `json:"bic"`
		} `json:"international"`
	} `json:"numbers"`
	Item struct {
		ID                    string   `json:"item_id"`
		InstitutionID         string   `json:"institution_id"`
		Webhook               string   `json:"webhook"`
		AvailableProducts     []string `json:"available_products"`
		BilledProducts        []string `json:"billed_products"`
		Products              []string `json:"products"`
		ConsentExpirationTime string   `json:"consent_expiration_time"`
		UpdateType            string   `json:"update_type"`
		Error                 struct {
			Type    string `json:"error_type"`
			Code    string `json:"error_code"`
			Message string `json:"error_message"`
		} `json:"error"`
	} `json:"item"`
	RequestID string `json:"request_id"`
}

// Balances are the amounts of an account.
type Balances struct {
	Available   json.Number `json:"available"`
	Current     json.Number `json:"current"`
	Limit       json.Number `json:"limit"`
	Currency    string      `json:"iso_currency_code"`
	Unofficial  string      `json:"unofficial_currency_code"`
	Native      string      `json:"currency"`
	BalanceDate string      `json:"balance_date"`
}

// IdentityAnswer is an answer of GET /links/{id}/identity.
type IdentityAnswer struct {
	Accounts []struct {
		ID         string   `json:"account_id"`
		Type       string   `json:"account_type"`
		Name       string   `json:"name"`
		Nickname   string   `json:"nickname"`
		Mask       string   `json:"account_mask"`
		Balances   Balances `json:"balances"`
		OriginalID string   `json:"original_id"`
		Closed     bool     `json:"closed"`
		Owners     []struct {
			Names     []string `json:"names"`
			Addresses []struct {
				Street     string `json:"street"`
				City       string `json:"city"`
				Region     string `json:"region"`
				PostalCode string `json:"postal_code"`
				Country    string `json:"country"`
				Primary    bool   `json:"primary"`
			} `json:"addresses"`
			PhoneNumbers []struct {
				Number  string `json:"number"`
				Type    string `json:"type"`
				Primary bool   `json:"primary"`
			} `json:"phone_numbers"`
			Emails []struct {
				Address string `json:"address"`
				Primary bool   `json:"primary"`
			} `json:"emails"`
		} `json:"owners"`
	} `json:"accounts"`
	Link struct {
		ID                string   `json:"link_id"`
		InstitutionID     string   `json:"institution_id"`
		InstitutionName   string   `json:"institution_name"`
		InstitutionAvatar string   `json:"institution_avatar"`
		State             string   `json:"state"`
		ErrorCode         string   `json:"error_code"`
		LastSyncedAt      string   `json:"last_synced_at"`
		Provider          string   `json:"provider"`
		LinkTags          []string `json:"link_tags"`
		Tags              []string `json:"tags"`
		Webhook           string   `json:"webhook"`
		Products          map[string]struct {
			RefreshedAt     string `json:"refreshed_at"`
			LastAttemptedAt string `json:"last_attempted_at"`
			ErrorCode       string `json:"error_code"`
			ErrorMessage    string `json:"error_message"`
			Unavailable     string `json:"unavailable"`
		} `json:"products"`
		AvailableProducts []string `json:"available_products"`
	} `json:"link"`
}

// LinksAnswer is an answer of GET /ds/login/links.
type LinksAnswer struct {
	Meta struct {
		RequestID string `json:"request_id"`
	} `json:"meta"`
	Data []struct {
		ID               string `json:"link_id"`
		Status           string `json:"status_code"`
		Description      string `json:"description"`
		DataSourceID     string `json:"ds_id"`
		DataSourceName   string `json:"ds_name"`
		RequireUsername  string `json:"require_username"`
		RedirectURL      string `json:"redirect_url"`
		RedirectVerifier string `json:"redirect_verifier"`
		UserID           string `json:"user_id"`
		UserEmail        string `json:"user_email"`
		LoginURL         string `json:"login_url"`
		CreatedTime      string `json:"created_time"`
		ExpiryTime       string `json:"expiry_time"`
		LoginID          string `json:"login_id"`
		LoginTime        string `json:"login_time"`
		LoginUsername    string `json:"login_username"`
	} `json:"data"`
}

// AccountsAnswer is an answer of GET /query/accounts.
type AccountsAnswer struct {
	Meta struct {
		RequestID string `json:"request_id"`
		Query     struct {
			CacheMinutes int64 `json:"cache_minutes"`
		} `json:"query"`
	} `json:"meta"`
	Data []AccountsLogin `json:"data"`
}

// AccountsLogin is a login with its accounts.
type AccountsLogin struct {
	User        string `json:"ds_user"`
	DisplayName string `json:"display_name"`
	CacheTime   string `json:"cache_time"`
	Accounts    []struct {
		ID    string `json:"account_id"`
		Name  string `json:"account_name"`
		Group string `json:"group_name"`
	} `json:"accounts"`
}
