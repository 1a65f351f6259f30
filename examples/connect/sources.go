package main

// source is a data source that can be connected.
type source struct{ ID, Name, About string }

// sources are the data sources that the service offers. The ids are the vendor's.
var sources = []source{
	{"AW", "Google Ads", "Campaigns, clicks and cost"},
	{"GAWA", "Google Analytics 4", "Visitors and what they do"},
	{"FB", "Facebook Ads", "Campaigns, reach and cost"},
	{"GW", "Google Search Console", "Searches that lead to your site"},
}

func findSource(id string) (source, bool) {
	for _, s := range sources {
		if s.ID == id {
			return s, true
		}
	}
	return source{}, false
}
