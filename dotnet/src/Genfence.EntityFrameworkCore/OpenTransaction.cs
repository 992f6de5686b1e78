using System.Data.Common;
using System.Runtime.CompilerServices;

namespace Genfence.EntityFrameworkCore;

/// <summary>
/// A transaction that is open, and its fence. Contexts that share the transaction share it, so that the one which commits tells of the keys of all.
/// </summary>
/// <param name="cache">The cache.</param>
/// <param name="fence">Its keys so far.</param>
/// <param name="owner">
/// Who began it. Where that is nobody of these it may be ended without a word: then keys are reserved as soon as they are known, and left to expire if
/// nothing is heard.
/// </param>
internal sealed class OpenTransaction(GenfenceCache cache, TransactionFence fence, ContextFence? owner)
{
    private static readonly ConditionalWeakTable<DbTransaction, List<OpenTransaction>> s_open = [];

    private readonly GenfenceCache _cache = cache;

    public TransactionFence Fence { get; private set; } = fence;

    public ContextFence? Owner { get; } = owner;

    /// <summary>Whether COMMIT was allowed to be sent.</summary>
    public bool IsSent { get; set; }

    /// <summary>Whether there may be no later moment to reserve what is named.</summary>
    public bool IsLate => Owner is null || IsSent;

    /// <summary>All of a transaction, whatever their caches are.</summary>
    public static OpenTransaction[] Of(DbTransaction transaction) => [.. All(transaction).Where(open => !open.HasEnded)];

    public static OpenTransaction? Of(DbTransaction transaction, GenfenceCache cache) => Of(transaction).FirstOrDefault(open => open._cache == cache);

    public static OpenTransaction Begun(DbTransaction transaction, GenfenceCache cache, ContextFence? owner, TransactionFence? fence = null)
    {
        if (owner is not null || All(transaction).Exists(before => before.HasEnded))
        {
            s_open.Remove(transaction);
        }
        var open = new OpenTransaction(cache, fence ?? cache.NewTransactionFence(), owner);
        s_open.GetOrCreateValue(transaction).Add(open);
        return open;
    }

    public static void Ended(DbTransaction transaction) => s_open.Remove(transaction);

    /// <summary>It ended without a word: all that were in it. A provider may use its object again, and the transaction that it is now has no part in this.</summary>
    public static IReadOnlyList<OpenTransaction> Ended(DbTransaction transaction, OpenTransaction open)
    {
        var all = All(transaction);
        if (!all.Contains(open))
        {
            return [open];
        }
        s_open.Remove(transaction);
        return all;
    }

    private static List<OpenTransaction> All(DbTransaction transaction) => s_open.TryGetValue(transaction, out var open) ? open : [];

    // Where its context has begun it and is not in it any more.
    private bool HasEnded => Owner is { } owner && !owner.IsIn(this);

    /// <summary>A COMMIT failed, and is tried again: under reservations of its own, as what became of the first is not known.</summary>
    public void BeginAgain()
    {
        var (keys, refused) = (Fence.Keys.ToArray(), Fence.Refused);
        IsSent = false;
        Fence = _cache.NewTransactionFence();
        Fence.Add(keys);
        Fence.Refused = refused;
    }
}
