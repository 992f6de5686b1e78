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
    private static readonly ConditionalWeakTable<DbTransaction, OpenTransaction> s_open = [];

    public TransactionFence Fence { get; private set; } = fence;

    public ContextFence? Owner { get; } = owner;

    public bool IsForeign => Owner is null;

    /// <summary>Whether COMMIT was allowed to be sent.</summary>
    public bool IsSent { get; set; }

    public static OpenTransaction? Of(DbTransaction transaction) => s_open.TryGetValue(transaction, out var open) ? open : null;

    public static OpenTransaction Begun(DbTransaction transaction, GenfenceCache cache, ContextFence? owner, TransactionFence? fence = null)
    {
        var open = new OpenTransaction(cache, fence ?? cache.NewTransactionFence(), owner);
        s_open.AddOrUpdate(transaction, open);
        return open;
    }

    public static void Ended(DbTransaction transaction) => s_open.Remove(transaction);

    /// <summary>A COMMIT failed, and is tried again: under reservations of its own, as what became of the first is not known.</summary>
    public void BeginAgain()
    {
        var keys = Fence.Keys.ToArray();
        IsSent = false;
        Fence = cache.NewTransactionFence();
        Fence.Add(keys);
    }
}
