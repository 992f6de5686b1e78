using Genfence;

namespace Shop;

/// <summary>Changes products: each in a transaction, under the reservation of its key.</summary>
internal sealed class ProductWriter(GenfenceCache cache, ShopContext shop)
{
    /// <summary>
    /// Reserves the product, changes its row, commits the row and then the cache. The cache holds the new value when
    /// this returns, or none; it is written as HybridCache reads it, as no serializer of its own is registered for it.
    /// </summary>
    /// <param name="id">The product.</param>
    /// <param name="after">The row as it is after the change, in full; null where there is none then.</param>
    /// <param name="change">Changes the row within the transaction; the count of rows that were changed.</param>
    /// <param name="cancellation">Ends it, but not the COMMIT.</param>
    /// <returns>Whether there was a row to change.</returns>
    /// <exception cref="TimeoutException">
    /// The reservation's time was over before the COMMIT: nothing was changed.
    /// </exception>
    public async Task<bool> ChangeAsync(
        int id, Product? after, Func<CancellationToken, Task<int>> change, CancellationToken cancellation)
    {
        var found = false;
        await cache.UpdateAsync<Product>(
            Products.Key(id),
            async (reservation, cancellation) =>
            {
                var committing = false;
                try
                {
                    await using var transaction = await shop.Database.BeginTransactionAsync(cancellation);
                    found = await change(cancellation) > 0;
                    if (!found)
                    {
                        return SourceResult.RolledBack;
                    }
                    if (reservation.Remaining == TimeSpan.Zero)
                    {
                        throw new TimeoutException("the database took too long, nothing was changed: try again");
                    }
                    committing = true;
                    await transaction.CommitAsync(CancellationToken.None);
                    return after is null ? SourceResult.Deleted() : SourceResult.Committed(after);
                }
                catch (Exception problem) when (!committing)
                {
                    // No COMMIT was sent, so nothing was changed for certain, and readers need not wait. A COMMIT that
                    // failed may have been done: its exception goes on to genfence, and the reservation expires.
                    return SourceResult.RolledBackBy(problem);
                }
            },
            cancellationToken: cancellation);
        return found;
    }
}
