package store

import "context"

// Append is [Log.AppendOnce] with one group and no key: it commits the drafts and returns their IDs
// in order once they are durable.
func Append(ctx context.Context, log Log, drafts []Draft) ([]ID, error) {
	results, err := log.AppendOnce(ctx, []Group{{Drafts: drafts}})
	if err != nil {
		return nil, err
	}
	return results[0].IDs, nil
}
