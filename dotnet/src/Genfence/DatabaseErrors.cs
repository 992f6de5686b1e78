using System.Data.Common;

namespace Genfence;

/// <summary>What the exceptions of databases say of the transaction that they ended.</summary>
internal static class DatabaseErrors
{
    /// <summary>
    /// Whether the database itself answered that it has not done what was sent, and will not. Whatever else there is, such as a connection that broke,
    /// says nothing.
    /// </summary>
    public static bool IsRolledBack(Exception problem)
    {
        for (var cause = problem; cause is not null; cause = cause.InnerException)
        {
            if (cause is DbException database)
            {
                return database.SqlState is { } state && IsRolledBack(state);
            }
        }
        return false;
    }

    // The classes of the SQL standard: data exception, integrity constraint violation, transaction rollback; and that the statement was cancelled, or that it
    // came when its transaction had been ended, as nothing had come for too long.
    // Of the third one code says that it is not known whether the statement was completed.
    private static bool IsRolledBack(string state) =>
        state != "40003"
        && (state.StartsWith("22", StringComparison.Ordinal) || state.StartsWith("23", StringComparison.Ordinal)
            || state.StartsWith("40", StringComparison.Ordinal) || state is "57014" or "25P03");
}
